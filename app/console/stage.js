// One open session on the page: its picture, its sound, and what became of what was said.
import { advice, ofClose } from "./advice.js";
import { ABOUT, Controls } from "./controls.js";
import { find } from "./dom.js";
import { PICTURE, readFrame, SOUND } from "./frame.js";
import { Heading } from "./heading.js";
import { Latency } from "./latency.js";
import { showLatency, showMedian } from "./latency-plot.js";
import { Meter, SILENCE } from "./level.js";
import { Playout } from "./playout.js";
import { Plot } from "./plot.js";
import { rateInWords, Screen } from "./screen.js";
import { Session } from "./session.js";
import { showShell } from "./shell.js";
import { Sound } from "./sound.js";
import { Speech } from "./speech.js";
import { Timeline } from "./timeline.js";
import { showUtterances } from "./utterance-table.js";

const COUNTER = 16 / 360; // of the sandbox's picture, at its lower edge, is for machines
const SLOW_MS = 250; // how often what need not be smooth is drawn
const KEPT = 300; // events that survive a reload
const EXPIRING = "the end"; // what notices are about, beside ABOUT
const LINE = "the line";
const SESSION = "the session";

export class Stage {
  #session = null;
  #kept = [];
  #drawn = 0;

  constructor(service, notice, log, logView, base, memory) {
    Object.assign(this, { service, notice, log, logView, base, memory });
    this.onChange = () => {}; // the session has another status, or is out of reach
    this.heading = new Heading();
    this.timeline = new Timeline();
    this.latency = new Latency();
    this.playout = new Playout();
    this.sound = new Sound(this.playout);
    this.screen = new Screen(find("screen"), this.playout);
    this.screen.onShown = ({ utterance }, now) => this.latency.shown(utterance, now);
    this.plot = new Plot(find("timeline"), this.timeline);
    this.meters = [new Meter(find("meter-you")), new Meter(find("meter-avatar"))];
    this.controls = new Controls(notice, {
      onGesture: () => this.unmute(),
      onSaid: (text) => this.timeline.said(text),
    });
    find("sound").addEventListener("click", () => this.#toggleSound());
    document.addEventListener("visibilitychange", () => this.#session?.watch(!document.hidden));
    requestAnimationFrame((now) => this.#draw(now));
  }

  get id() {
    return this.#session?.id ?? null;
  }

  /** Open a session, as the service shows it. */
  open(view) {
    this.close();
    this.timeline = new Timeline(view.audio.lead_ms);
    this.latency = new Latency();
    this.plot.show(this.timeline);
    this.playout.reset();
    this.screen.crop = view.room === "sandbox" ? COUNTER : 0;
    this.log.clear();
    this.logView.clear();
    this.heading.open(view);
    showShell(find("shell"), this.base, view.id, this.service.needsKey);
    const { events = [], resume = null } = this.memory.recall(view.id) ?? {};
    this.#kept = [];
    for (const message of events) this.#event(message, null);
    this.#quiet(); // what was wrong then was said then
    this.#report();
    if (this.heading.over) return;
    this.#session = new Session(
      this.service,
      view.id,
      {
        event: (message) => this.#event(message),
        frame: (buffer) => this.#frame(buffer),
        lost: () => {
          this.notice.show("The connection was lost.", advice("unreachable"), LINE);
          this.onChange();
        },
        closed: (code, problem) => this.#closed(code, problem),
        silenced: (code) => {
          this.controls.hush();
          if (code !== 4409) return; // told by the line, or by who began to speak
          const todo = "Speak again to take over.";
          this.notice.show("Another client speaks in this session.", todo, ABOUT);
        },
      },
      resume,
    );
    const speech = new Speech(this.#session, (id, ms) => this.timeline.sent(id, ms));
    this.controls.use(this.#session, speech);
    this.#session.watch(!document.hidden);
    this.#session.open();
  }

  /** Leave the session alone: it goes on without this page. */
  close() {
    this.controls.use(null, null);
    this.controls.paused = false;
    this.#session?.close();
    this.#session = null;
    this.#quiet();
    this.screen.clear();
    this.sound.level = SILENCE;
  }

  /** Take away what was said about the session. */
  #quiet() {
    for (const about of [ABOUT, EXPIRING, LINE, SESSION]) this.notice.clear(about);
  }

  /** Show what has changed of the session. */
  show(view) {
    this.heading.show(view);
  }

  /** Keep what has happened for when the page is loaded again. */
  remember() {
    if (!this.#session) return;
    this.memory.keep(this.#session.id, { resume: this.#session.line.resume, events: this.#kept });
  }

  /** Play sound, if the browser lets us: after a press, or where it knows the page. */
  async unmute() {
    if (!this.sound.running && navigator.userActivation?.hasBeenActive !== false) {
      await this.sound.start().catch(() => {}); // told when the button is pressed
    }
    this.#showSound();
  }

  async #toggleSound() {
    try {
      await (this.sound.running ? this.sound.stop() : this.sound.start());
    } catch {
      this.notice.show(
        "The browser plays no sound at this address.",
        "Open the page at localhost, or over https.",
      );
    }
    this.#showSound();
  }

  #showSound() {
    const { running } = this.sound;
    find("sound").setAttribute("aria-pressed", String(running));
    find("sound").querySelector("span").textContent = running ? "Sound on" : "Sound off";
  }

  // --- what comes from the service

  #event(message, now = performance.now()) {
    this.plot.heard(message.ts_ms);
    this.timeline.take(message);
    this.latency.take(message, now);
    this.logView.add(this.log.message(message));
    if (message.seq !== undefined) {
      this.#kept.push(message);
      this.#kept.splice(0, this.#kept.length - KEPT);
    }
    switch (message.type) {
      case "hello":
        this.notice.clear(LINE);
        break;
      case "session.ready":
        this.heading.show({ status: "ready" });
        break;
      case "session.state":
        this.heading.show({ status: message.status, end_reason: message.reason });
        this.onChange();
        break;
      case "session.renewed":
        this.heading.show({ conversation_url: message.conversation_url });
        break;
      case "session.ended":
        this.heading.show({ status: "ended", end_reason: message.reason });
        this.onChange();
        for (const about of [ABOUT, EXPIRING]) this.notice.clear(about);
        this.controls.hush();
        this.screen.clear();
        break;
      case "session.expiring":
        this.notice.show(
          `The session ends in ${Math.round(message.in_ms / 1000)} s.`,
          message.reason === "idle" ? "Say something to keep it." : "Start a new one to go on.",
          EXPIRING,
        );
        break;
      case "replica.left":
        this.heading.cover("The replica has left. It may come back …");
        break;
      case "replica.joined":
        this.heading.cover("");
        break;
      case "playback.paused":
      case "playback.resumed":
        this.controls.paused = message.type === "playback.paused";
        break;
      case "interrupt.accepted":
        this.controls.paused = false;
        this.controls.hush();
        this.#report();
        break;
      case "utterance.done":
        this.#report();
        if (message.status === "failed" && message.code !== "session_over") {
          this.notice.show("An utterance was not spoken whole.", advice(message.code), SESSION);
        }
        break;
      case "utterance.started":
      case "mark.reached":
        this.#report();
        break;
      case "error":
        if (message.code !== "resume_failed") this.notice.problem(message, SESSION);
        break;
      default:
    }
  }

  #frame(buffer) {
    let frame;
    try {
      frame = readFrame(buffer);
    } catch {
      return; // of a newer service
    }
    this.playout.arrived(frame.capture, performance.now());
    if (frame.kind === PICTURE) this.screen.push(frame);
    if (frame.kind === SOUND) this.sound.push(frame);
  }

  #closed(code, problem) {
    this.controls.hush();
    const wrong = problem ?? ofClose(code);
    if (!wrong) return;
    this.notice.problem(wrong, LINE);
    if (wrong.code === "session_not_found") this.heading.show({ status: "ended" });
  }

  // --- what the user sees

  #draw(now) {
    this.screen.draw(now);
    const levels = [this.controls.microphone.level, this.sound.level];
    this.meters.forEach((meter, index) => meter.show(levels[index], now));
    const slow = now - this.#drawn > SLOW_MS;
    if (slow || !matchMedia("(prefers-reduced-motion: reduce)").matches) this.plot.draw();
    if (slow) {
      this.#drawn = now;
      find("fps").textContent = rateInWords(this.screen.rate(now));
      find("interrupt").classList.toggle("live", this.timeline.busy);
    }
    requestAnimationFrame((next) => this.#draw(next));
  }

  #report() {
    showLatency(find("latency"), this.latency);
    showMedian(find("latency-figure"), find("latency-words"), this.latency);
    showUtterances(find("utterances"), this.timeline.utterances);
  }
}
