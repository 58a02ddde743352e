// Draws the timeline: every utterance a bar that begins where it began to sound and is as long as
// its audio; the part that was received is light, the part handed over darker, the part played full.

const WINDOW_MS = 20_000;
const NARROW_WINDOW_MS = 12_000;
const NARROW = 560; // CSS pixels
const AHEAD = 0.35; // of the window is the future
const IDLE_AHEAD_MS = 1500;

const TIMES_AT = 2;
const RULES_AT = 18;
const SPEAKING_AT = 26;
const LANES_AT = 54;
const LANE = 44;
const LANES = 3;
const BAR = 12;
const LABEL = 200; // room that a label is given

const FONT = 'Roboto, "Segoe UI", "Liberation Sans", Arial, sans-serif';

export class Plot {
  constructor(canvas, timeline) {
    this.canvas = canvas;
    this.timeline = timeline;
    this.context = canvas.getContext("2d");
    this.offset = null; // the service's clock less ours, ms
  }

  /** Begin anew with another timeline. */
  show(timeline) {
    this.timeline = timeline;
    this.offset = null;
  }

  /** A message that was told at `ts` has come: it cannot have come before it was told. */
  heard(ts) {
    const offset = ts - Date.now();
    this.offset = Math.max(offset, this.offset === null ? offset : this.offset - 1);
  }

  draw() {
    const { canvas, context, timeline } = this;
    const scale = globalThis.devicePixelRatio || 1;
    const size = [canvas.clientWidth, LANES_AT + LANES * LANE];
    const pixels = size.map((length) => Math.round(length * scale));
    if (canvas.width !== pixels[0] || canvas.height !== pixels[1]) {
      [canvas.width, canvas.height] = pixels;
    }
    [this.width, this.height] = size;
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, ...size);
    this.colours = colours(canvas);
    this.span = this.width < NARROW ? NARROW_WINDOW_MS : WINDOW_MS;

    const clock = Date.now() + (this.offset ?? 0);
    // With nothing going on the picture stands still, so that what happened stays to be read.
    const still = timeline.last && !timeline.busy;
    this.now = still ? Math.min(clock, timeline.last + IDLE_AHEAD_MS) : clock;
    this.from = this.now - this.span * (1 - AHEAD);

    this.#grid();
    if (!timeline.last) {
      this.#text("Nothing has been said yet.", 0, LANES_AT + 32, this.colours.soft, 13);
      return;
    }
    for (const segment of timeline.speaking) this.#speaking(segment);
    for (const utterance of timeline.utterances) this.#utterance(utterance);
    for (const interrupt of timeline.interrupts) this.#interrupt(interrupt);
    this.#rule(this.#x(this.now), 1, timeline.busy ? this.colours.accent : this.colours.soft, 0.6);
  }

  #x(ts) {
    return ((ts - this.from) / this.span) * this.width;
  }

  #length(ms) {
    return (ms / this.span) * this.width;
  }

  #grid() {
    const step = this.span === WINDOW_MS ? 5000 : 3000;
    for (let ts = Math.ceil(this.from / step) * step; ts < this.from + this.span; ts += step) {
      const x = Math.round(this.#x(ts));
      this.#box(x, 0, 1, this.height, this.colours.line);
      if (x + 36 < this.width) this.#text(clock(ts), x + 5, TIMES_AT + 10, this.colours.soft, 11);
    }
  }

  #speaking({ from, to, text }) {
    const left = Math.max(0, this.#x(from));
    const right = Math.min(this.width, this.#x(to ?? this.now));
    if (right < 0) return;
    this.#box(left, SPEAKING_AT, Math.max(2, right - left), 3, this.colours.ink, 1, 1.5);
    if (text) {
      const room = Math.max(LABEL, right - left);
      this.#text(`“${text}”`, left, SPEAKING_AT + 17, this.colours.soft, 12, room);
    }
  }

  #utterance(utterance) {
    const { timeline, colours: c } = this;
    const opened = this.#x(utterance.openedAt);
    const begins = utterance.startedAt ?? (utterance.done ? utterance.openedAt : this.now);
    const left = this.#x(begins);
    const played = timeline.played(utterance, this.now);
    const sent = timeline.handedOver(utterance, this.now);
    const received = Math.max(utterance.received, played);
    if (left + this.#length(received) < 0) return;

    const lane = Math.max(0, utterance.number - 1) % LANES;
    const y = LANES_AT + lane * LANE + 20;
    const cut = utterance.status === "interrupted" || utterance.status === "cut";
    this.#box(opened, y + BAR / 2 - 0.5, left - opened, 1, c.accent, 0.5);
    this.#box(left, y, this.#length(received), BAR, c.accent, cut ? 0.1 : 0.2, 3);
    this.#box(left, y, this.#length(sent), BAR, c.accent, cut ? 0.18 : 0.4, 3);
    this.#box(left, y, this.#length(played), BAR, c.accent, 1, 3);
    for (const { offset, outcome } of utterance.marks) {
      this.#mark(left + this.#length(offset), y + BAR / 2, outcome === "played");
    }

    const failed = utterance.status === "failed";
    const at = Math.min(Math.max(0, left), Math.max(0, this.width - LABEL));
    const number = utterance.number ? `${utterance.number} ` : "";
    const indent = this.#text(number, at, y - 6, failed ? c.danger : c.ink, 12, LABEL, 600);
    const name = utterance.id.replace(/-[0-9a-f]{8}$/, "");
    const words = `${name}  ${said(utterance, played, received)}`;
    this.#text(words, at + indent, y - 6, failed ? c.danger : c.soft, 12, LABEL);
  }

  #mark(x, y, reached) {
    const { context, colours: c } = this;
    context.beginPath();
    context.moveTo(x, y - 5);
    context.lineTo(x + 4, y);
    context.lineTo(x, y + 5);
    context.lineTo(x - 4, y);
    context.closePath();
    context.fillStyle = c.page;
    context.fill();
    context.strokeStyle = reached ? c.accent : c.soft;
    context.stroke();
  }

  #interrupt({ at, interrupted }) {
    const { context, colours: c } = this;
    const x = Math.round(this.#x(at));
    if (x < -5) return;
    const strength = interrupted ? 1 : 0.4;
    this.#rule(x, 1.5, c.danger, strength);
    context.globalAlpha = strength;
    context.beginPath();
    context.moveTo(x - 4, RULES_AT - 2);
    context.lineTo(x + 5.5, RULES_AT - 2);
    context.lineTo(x + 0.75, RULES_AT + 5);
    context.fill();
    context.globalAlpha = 1;
  }

  #rule(x, width, colour, strength) {
    this.#box(Math.round(x), RULES_AT, width, this.height - RULES_AT, colour, strength);
  }

  #box(x, y, width, height, colour, strength = 1, radius = 0) {
    if (width <= 0) return;
    const { context } = this;
    context.fillStyle = colour;
    context.globalAlpha = strength;
    context.beginPath();
    context.roundRect(x, y, width, height, Math.min(radius, width / 2));
    context.fill();
    context.globalAlpha = 1;
  }

  /** Write text, cut to `room`; returns how wide it is. */
  #text(text, x, baseline, colour, size, room = Infinity, weight = 400) {
    const { context } = this;
    context.font = `${weight} ${size}px ${FONT}`;
    context.fillStyle = colour;
    let shown = text;
    while (shown.length > 4 && context.measureText(shown).width > room) {
      shown = `${shown.slice(0, -4).trimEnd()} …`;
    }
    context.fillText(shown, x, baseline);
    return context.measureText(shown).width;
  }
}

function said({ status, code, startedAt, done }, played, received) {
  const seconds = `${(played / 1000).toFixed(1)} of ${(received / 1000).toFixed(1)} s`;
  if (status === "interrupted" || status === "cut") return `cut at ${seconds}`;
  if (status === "failed") return `failed: ${code}`;
  return startedAt === null && !done ? "waits" : seconds;
}

function clock(ts) {
  const date = new Date(ts);
  const digits = [date.getMinutes(), date.getSeconds()];
  return digits.map((number) => String(number).padStart(2, "0")).join(":");
}

function colours(element) {
  const style = getComputedStyle(element);
  const names = ["ink", "soft", "line", "accent", "danger", "page"];
  return Object.fromEntries(
    names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]),
  );
}
