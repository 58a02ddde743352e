import assert from "node:assert/strict";
import { test } from "node:test";
import { GROUPS, Log, matches } from "../../app/console/log.js";

const CALL = {
  method: "POST",
  path: "sessions",
  body: { replica_id: "r1" },
  status: 422,
  answer: { code: "invalid_request" },
};

test("messages and calls are noted in order, with a summary, and bounded", () => {
  const log = new Log();
  for (let number = 0; number < 600; number++) log.message({ type: "pong", ts_ms: number });
  const done = log.message({
    type: "utterance.done",
    ts_ms: 5,
    utterance_id: "a",
    status: "played",
    played_ms: 3,
    received_ms: 4,
  });
  const call = log.call(CALL);

  assert.equal(500, log.entries.length);
  assert.equal("a played, 3 of 4 ms", done.summary);
  assert.deepEqual(
    ["POST /sessions", "422 invalid_request", true],
    [call.type, call.summary, call.failed],
  );
});

for (const [message, group, not] of [
  [{ type: "utterance.started", utterance_id: "a" }, "speech", "session"],
  [{ type: "interrupt.accepted", interrupted: true, dropped_ms: 1 }, "speech", "tavus"],
  [{ type: "audio.ack", utterance_id: "a" }, "speech", "notable"],
  [{ type: "session.ended", reason: "idle" }, "session", "speech"],
  [{ type: "tavus.event", event: { event_type: "x" } }, "tavus", "notable"],
  [{ type: "error", code: "bad_message", message: "?" }, "errors", "calls"],
]) {
  test(`${message.type} belongs to ${group}`, () => {
    const entry = new Log().message(message);

    assert.ok(matches(entry, group, ""));
    assert.ok(!matches(entry, not, ""));
    assert.ok(matches(entry, "everything", ""));
  });
}

test("all words of a filter must be in it, in any order and case", () => {
  const entry = new Log().call(CALL);

  assert.ok(matches(entry, "calls", "POST r1"));
  assert.ok(matches(entry, "errors", "INVALID"));
  assert.ok(!matches(entry, "calls", "r1 r2"));
});

test("every group has a name on the page", async () => {
  const { readFileSync } = await import("node:fs");
  const page = readFileSync(new URL("../../app/console/index.html", import.meta.url), "utf8");
  const [, options] = page.match(/<select id="log-group">([^]*?)<\/select>/);
  const named = [...options.matchAll(/value="(\w+)"/g)].map(([, name]) => name);

  assert.deepEqual(Object.keys(GROUPS).sort(), named.sort());
});
