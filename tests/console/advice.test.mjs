import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { advice, ofClose, ofMicrophone } from "../../app/console/advice.js";

test("every code that there is advice for is one of the service's, or the page's own", () => {
  const source = readFileSync(new URL("../../app/console/advice.js", import.meta.url), "utf8");
  const errors = readFileSync(new URL("../../app/errors.py", import.meta.url), "utf8");
  const codes = [...errors.matchAll(/code = "(\w+)"/g)].map(([, code]) => code);
  const [, table] = source.match(/const ADVICE = {([^]*?)\n};/);
  const advised = [...table.matchAll(/^ {2}(\w+):/gm)].map(([, code]) => code);

  assert.ok(advised.length > 20);
  assert.deepEqual(
    [],
    advised.filter((code) => !codes.includes(code) && !["unreachable", "timeout"].includes(code)),
  );
});

test("an end that is as it should be needs no words, any other gets some", () => {
  assert.deepEqual([null, null], [ofClose(1000), ofClose(4410)]);
  assert.equal("unauthorized", ofClose(4401).code);
  assert.match(ofClose(4400).message, /4400/);
  assert.match(advice(ofClose(4400).code), /event log/);
});

test("a microphone that cannot be had says what to do", () => {
  assert.match(ofMicrophone({ name: "NotAllowedError" }).todo, /Allow it/);
  assert.match(ofMicrophone({ name: "NotFoundError" }).todo, /sample/);
  assert.match(ofMicrophone({ name: "TypeError", message: "x" }).todo, /localhost/);
});
