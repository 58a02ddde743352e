import assert from "node:assert/strict";
import { test } from "node:test";
import { ApiKey } from "../../app/console/key.js";
import { Memory } from "../../app/console/memory.js";

/** What a browser's sessionStorage is. */
function storage({ full = false } = {}) {
  const kept = new Map();
  return {
    kept,
    getItem: (name) => kept.get(name) ?? null,
    removeItem: (name) => kept.delete(name),
    setItem: (name, value) => {
      if (full) throw new Error("full");
      kept.set(name, value);
    },
  };
}

test("what was kept of a session is recalled once, and only for that session", () => {
  const shelf = storage();
  new Memory(shelf).keep("a", { events: [1] });

  assert.deepEqual([1], new Memory(shelf).recall("a").events);
  assert.equal(null, new Memory(shelf).recall("a"));
  new Memory(shelf).keep("a", { events: [1] });
  assert.equal(null, new Memory(shelf).recall("b"));
});

test("a full shelf loses what is kept, and nothing else", () => {
  const memory = new Memory(storage({ full: true }));

  memory.keep("a", { events: [] });

  assert.equal(null, memory.recall("a"));
});

test("a key stays in memory unless it is to be remembered, and can be forgotten again", () => {
  const shelf = storage();
  const key = new ApiKey(shelf);

  key.set(" secret ", false);
  assert.deepEqual(["secret", 0], [key.value, shelf.kept.size]);
  key.set("secret", true);
  assert.equal("secret", new ApiKey(shelf).value);
  key.set("other", false);
  assert.deepEqual(["other", ""], [key.value, new ApiKey(shelf).value]);
});
