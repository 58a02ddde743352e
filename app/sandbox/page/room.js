// The room as a person sees it. What the two sockets say is described in link.py and media_link.py.

import { Screen } from "./screen.js";

const HEADER = 20;
const [PICTURE, SOUND] = [1, 2];
const STALLED_MS = 2000;

const token = new URLSearchParams(location.search).get("t") ?? "";
const find = (id) => document.getElementById(id);
const screen = new Screen(find("picture"));

let visit = null; // while inside: {link, media, context, gain, speaker, people}
let microphone = null; // while on: {context, stream}

const CLOSED_DOORS = {
  over: "This conversation is over.",
  private: "This room needs a meeting token: open it with ?t= and the token at the end of its address.",
  refused: "The meeting token is wrong or has expired.",
};

function socket(way, query) {
  const address = new URL(`${location.pathname.replace(/\/$/, "")}/${way}`, location.href);
  address.protocol = address.protocol.replace("http", "ws");
  address.search = new URLSearchParams(token ? { ...query, token } : query);
  return new WebSocket(address);
}

// --- coming and going

async function join(name) {
  find("join").disabled = true;
  say("Entering …");
  trouble("");
  const context = new AudioContext({ sampleRate: 24000, latencyHint: "interactive" });
  await Promise.all([
    context.resume(),
    context.audioWorklet.addModule(new URL("speaker.js", import.meta.url)),
  ]);
  const gain = new GainNode(context);
  const speaker = new AudioWorkletNode(context, "speaker", { numberOfInputs: 0 });
  speaker.connect(gain).connect(context.destination);
  speaker.port.onmessage = ({ data }) => {
    screen.hear(data.at - ((context.outputLatency || 0) + context.baseLatency) * 1e6);
    level("avatar-level", data.level);
  };
  const link = socket("link", { name });
  visit = { link, media: null, context, gain, speaker, people: new Map(), ended: "" };
  link.onmessage = ({ data }) => understand(JSON.parse(data));
  link.onclose = () => leave(visit?.ended || (visit?.media ? "The connection was lost." : ""));
  showSound(true);
}

function enter(own, others) {
  const media = socket("media", {});
  media.binaryType = "arraybuffer";
  media.onopen = () =>
    media.send(JSON.stringify({ op: "watch", video: true, audio: true, codec: "jpeg" }));
  media.onmessage = ({ data }) => receive(data);
  visit.media = media;
  visit.people.set(own, { name: `${find("name").value} (you)`, user_id: "" });
  for (const person of others) visit.people.set(person.participant_id, person);
  document.body.dataset.state = "inside";
  find("door").hidden = true;
  find("controls").hidden = find("inside").hidden = false;
  find("microphone").focus();
  showPeople();
  tell();
}

function leave(reason) {
  if (!visit) return;
  const { link, media, context, people, ended } = visit;
  const wasInside = people.size > 0;
  visit = null;
  silence();
  link.close();
  media?.close();
  context.close();
  screen.clear();
  document.body.dataset.state = ended ? "over" : "open";
  find("controls").hidden = find("inside").hidden = true;
  find("join").disabled = false;
  if (!wasInside && !ended) {
    reason = "The room did not let you in. It may be full or over: reload the page to see.";
  }
  showDoor();
  trouble(ended ? "" : reason);
}

// --- what the room says

function understand(operation) {
  if (!visit) return;
  const person = operation.participant;
  switch (operation.op) {
    case "joined":
      return enter(operation.id, operation.participants);
    case "participant_joined":
      visit.people.set(person.participant_id, person);
      return showPeople();
    case "participant_left":
      visit.people.delete(person.participant_id);
      return showPeople();
    case "message":
      return hearOf(operation.message);
    case "ended":
      visit.ended = `The conversation is over: ${operation.reason}.`;
      CLOSED_DOORS.over = visit.ended;
  }
}

function hearOf(message) {
  const event = typeof message === "string" ? JSON.parse(message) : message;
  if (event?.event_type === "conversation.started_speaking") visit.speaks = true;
  if (event?.event_type === "conversation.stopped_speaking") visit.speaks = false;
  tell();
}

function receive(message) {
  if (!visit) return;
  const view = new DataView(message);
  const kind = view.getUint8(0);
  const at = Number(view.getBigUint64(12));
  const payload = HEADER + view.getUint8(1);
  if (kind === PICTURE) screen.take(at, new Uint8Array(message, payload));
  if (kind === SOUND) {
    const samples = Float32Array.from(new Int16Array(message, payload), (value) => value / 32768);
    visit.speaker.port.postMessage({ at, samples }, [samples.buffer]);
  }
}

// --- the visitor's sound

async function speak() {
  if (!navigator.mediaDevices) {
    throw new Error("browsers allow the microphone on https pages and on localhost only");
  }
  const stream = await navigator.mediaDevices.getUserMedia({
    audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true },
  });
  const context = new AudioContext(); // Firefox reads a microphone at its own rate only
  microphone = { context, stream };
  await context.audioWorklet.addModule(new URL("microphone.js", import.meta.url));
  const source = new MediaStreamAudioSourceNode(context, { mediaStream: stream });
  const cutter = new AudioWorkletNode(context, "microphone", { channelCount: 1, channelCountMode: "explicit" });
  source.connect(cutter).connect(context.destination); // its output is silent; unconnected it would rest
  const { link } = visit;
  link.send(JSON.stringify({ op: "microphone", sample_rate: context.sampleRate }));
  cutter.port.onmessage = ({ data }) => {
    if (!microphone || link.readyState !== WebSocket.OPEN) return;
    link.send(data.pcm);
    level("own-level", data.level);
  };
  showMicrophone(true);
}

function silence() {
  if (!microphone) return;
  for (const track of microphone.stream.getTracks()) track.stop();
  microphone.context.close();
  microphone = null;
  level("own-level", 0);
  showMicrophone(false);
}

// --- what is shown

function say(text, mood = "") {
  const status = find("status");
  if (status.textContent !== text) status.textContent = text;
  status.dataset.mood = mood;
}

function trouble(text) {
  find("trouble").textContent = text;
}

function level(id, value) {
  // From -60 dB to full scale, as loudness is felt.
  find(id).value = value ? Math.max(0, 1 + Math.log10(value) / 3) : 0;
}

function tell() {
  if (!visit?.media) return;
  const there = [...visit.people.values()].some((person) => person.user_id);
  const stalled = there && screen.shownAt && performance.now() - screen.shownAt > STALLED_MS;
  find("notice").hidden = there && !stalled;
  find("notice").textContent = stalled ? "The picture has stopped." : "The avatar is not here.";
  if (!there) say("Waiting for the avatar");
  else if (stalled) say("No picture", "bad");
  else say(visit.speaks ? "The avatar speaks" : "Live", "good");
}

function showPeople() {
  const rows = [...visit.people.values()].map((person) => {
    const row = document.createElement("li");
    row.textContent = person.user_id ? `${person.name} (the avatar)` : person.name;
    return row;
  });
  find("people").replaceChildren(...rows);
  tell();
}

function showMicrophone(on) {
  find("microphone").setAttribute("aria-pressed", on);
}

function showSound(on) {
  find("sound").setAttribute("aria-pressed", on);
  if (visit) visit.gain.gain.value = on ? 1 : 0;
}

function showDoor() {
  const closed = CLOSED_DOORS[document.body.dataset.state];
  find("door").hidden = Boolean(closed);
  find("notice").hidden = !closed;
  find("notice").textContent = closed ?? "";
  say(closed ? "Closed" : "Open");
}

find("door").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    await join(find("name").value);
  } catch (error) {
    find("join").disabled = false;
    trouble(`The page cannot play sound here: ${error.message}`);
  }
});
find("leave").addEventListener("click", () => {
  leave("");
  find("join").focus();
});
find("sound").addEventListener("click", () =>
  showSound(find("sound").getAttribute("aria-pressed") !== "true"),
);
find("microphone").addEventListener("click", async () => {
  trouble("");
  if (microphone) {
    visit.link.send(JSON.stringify({ op: "microphone", sample_rate: null }));
    return silence();
  }
  try {
    await speak();
  } catch (error) {
    silence();
    trouble(`The microphone cannot be used: ${error.message}.`);
  }
});
setInterval(tell, 500);
showDoor();
