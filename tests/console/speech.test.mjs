import assert from "node:assert/strict";
import { test } from "node:test";
import { Speech } from "../../app/console/speech.js";

/** A session whose socket keeps what it is given. */
function fake() {
  const said = [];
  const mouth = {
    open: true,
    full: false,
    send: (message) => said.push(message),
    audio: (bytes) => said.push(new Uint8Array(bytes).length),
  };
  return { said, mouth, paused: false, session: null };
}

function speech(world, onSent = () => {}) {
  const session = {
    get paused() {
      return world.paused;
    },
    mouth: async () => world.mouth,
  };
  return new Speech(session, onSent);
}

const WAV = { rate: 1000, bytesPerMs: 2, dataAt: 44, ms: 20_000 };

test("a file is sent whole, in slices, with its marks where they belong", async () => {
  const world = fake();
  const sent = [];
  const marks = [
    { name: "one", ms: 1000 },
    { name: "end", ms: 20_000 },
  ];

  assert.ok(
    await speech(world, (_, ms) => sent.push(ms)).play("talk", new Uint8Array(40_044), WAV, marks),
  );
  const [start, ...rest] = world.said;
  const before = (name) => {
    const at = rest.findIndex((each) => each.name === name);
    return rest
      .slice(0, at)
      .filter(Number.isInteger)
      .reduce((sum, bytes) => sum + bytes, 0);
  };

  assert.deepEqual(["utterance.start", { encoding: "wav" }], [start.type, start.format]);
  assert.match(start.utterance_id, /^talk-[0-9a-f]{8}$/);
  assert.deepEqual([2044, 40_044], [before("one"), before("end")]);
  assert.ok(rest.every((each) => !Number.isInteger(each) || each <= 16_384));
  assert.deepEqual("utterance.end", rest.at(-1).type);
  assert.equal(20_000, sent.at(-1));
});

test("what is held back by the service is sent later, or never after an interrupt", async () => {
  const world = fake();
  world.paused = true;
  const speaking = speech(world);
  const playing = speaking.play("talk", new Uint8Array(40_044), WAV);
  await new Promise((done) => setImmediate(done));
  speaking.stop();

  assert.equal(false, await playing);
  assert.deepEqual(
    ["utterance.start"],
    world.said.map(({ type }) => type),
  );
});

test("a microphone opens its utterance with the first piece it hears", async () => {
  const world = fake();
  const live = await speech(world).live("microphone", 48_000);
  assert.deepEqual([], world.said);

  live.push(new ArrayBuffer(960));
  live.push(new ArrayBuffer(960));
  live.end();

  assert.deepEqual(
    ["utterance.start", 960, 960, "utterance.end"],
    world.said.map((each) => each.type ?? each),
  );
  assert.equal(48_000, world.said[0].format.sample_rate);
});

test("whatever is said next ends what was said before", async () => {
  const world = fake();
  const speaking = speech(world);
  const first = await speaking.live("microphone", 16_000);
  first.push(new ArrayBuffer(2));
  const second = await speaking.live("microphone", 16_000);

  first.push(new ArrayBuffer(2));
  first.end();
  second.push(new ArrayBuffer(2));

  assert.deepEqual(
    ["utterance.start", 2, "utterance.start", 2],
    world.said.map((each) => each.type ?? each),
  );
});
