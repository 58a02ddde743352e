import assert from "node:assert/strict";
import { test } from "node:test";
import { SILENCE, toDb } from "../../app/console/level.js";

test("levels are decibels below full scale, and silence has an end", () => {
  assert.equal(0, toDb(1));
  assert.ok(Math.abs(toDb(0.1) + 20) < 1e-9);
  assert.equal(SILENCE, toDb(0));
});
