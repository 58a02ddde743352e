import assert from "node:assert/strict";
import { test } from "node:test";
import { Latency } from "../../app/console/latency.js";

function done(number, sent, started) {
  return { type: "utterance.done", number, latency: { first_sent_ms: sent, started_ms: started } };
}

test("the first picture of an utterance counts, from when it was opened", () => {
  const latency = new Latency();

  latency.take({ type: "utterance.opened", number: 1 }, 1000);
  latency.shown(0, 1050);
  latency.shown(1, 1200.4);
  latency.shown(1, 1300);
  latency.take(done(1, 3, 150), 5000);

  assert.deepEqual([{ number: 1, sent: 3, started: 150, frame: 200 }], latency.rows);
});

test("pictures of an utterance that began before the page was there tell nothing", () => {
  const latency = new Latency();

  latency.take({ type: "utterance.opened", number: 5 }, null);
  latency.shown(4, 1000);
  latency.shown(5, 1000);

  assert.deepEqual([], latency.rows);
});

test("the median leaves out what is not known, and only the latest are kept", () => {
  const latency = new Latency();
  assert.equal(null, latency.median("started"));

  for (let number = 1; number <= 20; number++)
    latency.take(done(number, 1, number % 2 ? number : null), 0);

  assert.equal(8, latency.rows.length);
  assert.equal(17, latency.median("started"));
});
