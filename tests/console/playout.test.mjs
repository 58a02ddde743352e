import assert from "node:assert/strict";
import { test } from "node:test";
import { Playout } from "../../app/console/playout.js";

const AHEAD = 1_700_000_000_000; // the service's clock less ours

test("picture and sound of one moment are due at one moment", () => {
  const playout = new Playout();

  playout.arrived(AHEAD + 1000, 1010);
  playout.arrived(AHEAD + 1000, 1040);

  assert.equal(1010 + playout.delay, playout.due(AHEAD + 1000));
  assert.equal(AHEAD + 1000, playout.captured(1010 + playout.delay));
});

test("nothing is due before anything has come, nor after a new beginning", () => {
  const playout = new Playout();
  assert.equal(null, playout.captured(5));

  playout.arrived(AHEAD, 10);
  playout.late(500);
  const waited = playout.delay;
  playout.reset();

  assert.equal(null, playout.captured(5));
  assert.ok(playout.delay < waited);
});

test("the quickest way of the last seconds counts, and clocks may drift", () => {
  const playout = new Playout();

  for (let second = 0; second < 30; second++) {
    const drift = second * 2;
    playout.arrived(AHEAD + second * 1000, second * 1000 + 20 + drift);
    playout.arrived(AHEAD + second * 1000, second * 1000 + 80 + drift);
  }

  assert.equal(20 + 20 * 2 - AHEAD, playout.distance);
  assert.ok(playout.steps.length <= 10);
});

test("who comes too late makes all wait longer, up to a limit", () => {
  const playout = new Playout();
  const before = playout.delay;

  playout.late(30);
  assert.equal(before + 30, playout.delay);

  for (let time = 0; time < 100; time++) playout.late(100);
  assert.equal(600, playout.delay);
});
