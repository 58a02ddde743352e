import assert from "node:assert/strict";
import { test } from "node:test";
import { rateInWords } from "../../app/console/screen.js";

test("one picture is not several, and none are not spoken of", () => {
  assert.equal("25 pictures a second", rateInWords(24.5));
  assert.equal("1 picture a second", rateInWords(0.5));
  assert.equal("", rateInWords(0));
});
