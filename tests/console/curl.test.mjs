import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { curl, quoted, speak } from "../../app/console/curl.js";

const BASE = "http://localhost:8080";

test("a call becomes a line, with the key by its name only", () => {
  assert.equal(
    `curl -X DELETE ${BASE}/sessions/s1 -H "Authorization: Bearer $BRIDGE_API_KEY"`,
    curl(BASE, { method: "DELETE", path: "sessions/s1" }, true),
  );
  assert.equal(`curl ${BASE}/sessions`, curl(BASE, { method: "GET", path: "sessions" }, false));
  assert.equal(
    `curl -X POST ${BASE}/sessions -d '{"a":1}'`,
    curl(BASE, { method: "POST", path: "sessions", body: { a: 1 } }, false),
  );
});

test("a shell reads what was meant", () => {
  const text = `it's "so" $HOME \`x\` \\ é\n!`;

  assert.equal(text, execFileSync("sh", ["-c", `printf %s ${quoted(text)}`], { encoding: "utf8" }));
});

test("a file is streamed to the session's own socket", () => {
  assert.equal(
    "websocat -b 'ws://localhost:8080/sessions/s1/stream?encoding=wav' < hello.wav",
    speak(BASE, "s1", false),
  );
  assert.match(
    speak("https://x.example/b", "s1", true),
    /Bearer \$BRIDGE_API_KEY" 'wss:\/\/x\.example\/b\//,
  );
});
