import assert from "node:assert/strict";
import { test } from "node:test";
import { Timeline } from "../../app/console/timeline.js";

const T = 1_700_000_000_000;
const FORMAT = { encoding: "pcm_s16le", sample_rate: 16000, channels: 1 };

function told(...messages) {
  const timeline = new Timeline(1500);
  for (const [at, type, fields] of messages) timeline.take({ type, ts_ms: T + at, ...fields });
  return timeline;
}

const OPENED = [0, "utterance.opened", { utterance_id: "a", number: 1, format: FORMAT }];
const STARTED = [200, "utterance.started", { utterance_id: "a", number: 1, source: "replica" }];
const DONE = [
  5000,
  "utterance.done",
  {
    utterance_id: "a",
    number: 1,
    status: "played",
    source: "replica",
    received_ms: 4000,
    sent_ms: 4000,
    played_ms: 4000,
    dropped_ms: 0,
    latency: { first_sent_ms: 3, started_ms: 200 },
  },
];

test("an utterance is received, handed over and played", () => {
  const timeline = told(
    OPENED,
    [50, "audio.ack", { utterance_id: "a", accepted_bytes: 128_000 }],
    STARTED,
  );
  const [utterance] = timeline.utterances;

  assert.equal(4000, utterance.received);
  assert.equal(100, timeline.played(utterance, T + 300));
  assert.equal(1600, timeline.handedOver(utterance, T + 300));
  assert.ok(timeline.busy);
});

test("between two reports the position goes on, but not for long and not past the audio", () => {
  const progress = { utterance_id: "a", played_ms: 1000, source: "replica" };
  const timeline = told(OPENED, STARTED, [1200, "playback.progress", progress]);
  const [utterance] = timeline.utterances;
  utterance.received = 4000;

  assert.equal(1000, timeline.played(utterance, T + 1200));
  assert.equal(1100, timeline.played(utterance, T + 1300));
  assert.equal(1300, timeline.played(utterance, T + 9000));
  utterance.received = 1050;
  assert.equal(1050, timeline.played(utterance, T + 1300));
});

test("a pause holds the position", () => {
  const progress = { utterance_id: "a", played_ms: 1000, source: "replica" };
  const timeline = told(
    OPENED,
    STARTED,
    [1200, "playback.progress", progress],
    [1200, "playback.paused", {}],
  );
  const [utterance] = timeline.utterances;
  utterance.received = 4000;

  assert.equal(1000, timeline.played(utterance, T + 1400));
  timeline.take({ type: "playback.resumed", ts_ms: T + 1400 });
  assert.equal(1200, timeline.played(utterance, T + 1400));
});

test("what was sent before the service told of its utterance counts", () => {
  const timeline = new Timeline();
  timeline.sent("a", 700);
  timeline.take({
    type: "utterance.opened",
    ts_ms: T,
    utterance_id: "a",
    number: 1,
    format: { encoding: "wav" },
  });
  timeline.sent("a", 900);

  assert.equal(900, timeline.utterances[0].received);
});

test("its end says what was so", () => {
  const timeline = told(OPENED, STARTED, DONE);
  const [utterance] = timeline.utterances;

  assert.deepEqual(
    ["played", 4000, 4000, 4000],
    [utterance.status, utterance.received, utterance.sent, utterance.played],
  );
  assert.equal(4000, timeline.handedOver(utterance, T + 9999));
  assert.ok(!timeline.busy);
});

test("an interrupt cuts, and marks are reached or flushed", () => {
  const cut = {
    utterance_id: "a",
    received_ms: 4000,
    sent_ms: 2500,
    played_ms: 900,
    dropped_ms: 1500,
  };
  const timeline = told(
    OPENED,
    STARTED,
    [500, "mark.reached", { name: "one", utterance_id: "a", offset_ms: 300, outcome: "played" }],
    [1100, "interrupt.accepted", { interrupted: true, dropped_ms: 1500, utterances: [cut] }],
    [1101, "mark.reached", { name: "two", utterance_id: "a", offset_ms: 3000, outcome: "flushed" }],
    [1102, "mark.reached", { name: "of nothing", offset_ms: 0, outcome: "flushed" }],
  );
  const [utterance] = timeline.utterances;

  assert.deepEqual(["cut", 2500, 1500], [utterance.status, utterance.sent, utterance.dropped]);
  assert.deepEqual(
    [
      ["one", "played"],
      ["two", "flushed"],
    ],
    utterance.marks.map(({ name, outcome }) => [name, outcome]),
  );
  assert.deepEqual([{ at: T + 1100, interrupted: true, dropped: 1500 }], timeline.interrupts);
});

test("a page that comes in the middle learns of what is playing", () => {
  const timeline = told([
    3000,
    "playback.progress",
    { utterance_id: "x", played_ms: 2000, source: "replica" },
  ]);
  const [utterance] = timeline.utterances;

  assert.deepEqual([T + 1000, 2000], [utterance.startedAt, utterance.received]);
  assert.ok(timeline.busy);
});

test("what the replica says by itself has its words, an utterance's audio has none", () => {
  const timeline = new Timeline();
  timeline.said("Hello!");
  timeline.take({ type: "replica.started_speaking", ts_ms: T });
  timeline.take({ type: "replica.stopped_speaking", ts_ms: T + 800, interrupted: false });
  timeline.take({ type: "replica.started_speaking", ts_ms: T + 900 });

  assert.deepEqual(
    [
      ["Hello!", T + 800],
      ["", null],
    ],
    timeline.speaking.map(({ text, to }) => [text, to]),
  );
  assert.ok(timeline.busy);
  timeline.take({ type: "session.ended", ts_ms: T + 1000 });
  assert.ok(!timeline.busy);
});

test("a stop without a start is drawn by its length", () => {
  const timeline = told([2000, "replica.stopped_speaking", { duration_ms: 500 }]);

  assert.deepEqual([T + 1500, T + 2000], [timeline.speaking[0].from, timeline.speaking[0].to]);
});

test("only the latest is kept, and what does not concern it changes nothing", () => {
  const timeline = new Timeline();
  for (let number = 1; number <= 200; number++) {
    timeline.take({
      type: "utterance.opened",
      ts_ms: T,
      utterance_id: `u${number}`,
      number,
      format: FORMAT,
    });
    timeline.take({ type: "pong", ts_ms: T + 1e9 });
  }

  assert.deepEqual(
    [60, 200, T],
    [timeline.utterances.length, timeline.utterances.at(-1).number, timeline.last],
  );
});
