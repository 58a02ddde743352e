// The ways to speak: a sentence, the sample, a file, the microphone; and the way to interrupt.
import { ofMicrophone } from "./advice.js";
import { find } from "./dom.js";
import { Microphone } from "./microphone.js";
import { MARKS, SAMPLE } from "./sample.js";
import { NotWav, readWav } from "./wav.js";

export const ABOUT = "what the user does"; // a notice about it goes when something else is done

export class Controls {
  #session = null;
  #speech = null;
  #live = null;
  #paused = false;

  /** `onGesture()` is called at every press that lets a browser play sound, `onSaid(text)` when a
   * sentence is on its way. */
  constructor(notice, { onGesture, onSaid }) {
    Object.assign(this, { notice, onGesture, onSaid });
    this.microphone = new Microphone();
    find("say-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#say(find("say"));
    });
    find("sample").addEventListener("click", () => this.#playSample());
    find("microphone").addEventListener("click", () => this.#talk());
    find("choose").addEventListener("click", () => find("file").click());
    find("file").addEventListener("change", ({ target }) => {
      if (target.files.length) this.#playFile(target.files[0]);
      target.value = "";
    });
    find("interrupt").addEventListener("click", () => this.#interrupt());
    find("pause").addEventListener("click", () =>
      this.#attempt(() => this.#session.pause(!this.#paused)),
    );
    find("end").addEventListener("click", () => this.#attempt(() => this.#session.end()));
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !document.querySelector("dialog[open]")) this.#interrupt();
    });
    this.#takeDrops(find("drop"));
  }

  /** Speak into this session from now on; null: into none. */
  use(session, speech) {
    this.hush();
    this.#session = session;
    this.#speech = speech;
  }

  /** Whether the session holds what is not handed over yet. */
  set paused(paused) {
    this.#paused = paused;
    find("pause").textContent = paused ? "Resume" : "Pause";
  }

  /** Send nothing more. */
  hush() {
    this.#speech?.stop();
    this.#stopTalking();
  }

  async #say(field) {
    const text = field.value.trim();
    if (!text) return;
    this.onGesture();
    this.onSaid(text);
    if (await this.#attempt(() => this.#session.say(text))) field.value = "";
  }

  #playSample() {
    this.onGesture();
    this.#attempt(async () => {
      const file = await fetch(SAMPLE);
      await this.#play("sample", await file.arrayBuffer(), MARKS);
    });
  }

  #playFile(file) {
    this.onGesture();
    const name = file.name
      .replace(/\.\w+$/, "")
      .replace(/[^\w.:-]+/g, "-")
      .slice(0, 40);
    this.#attempt(async () => this.#play(name || "wav", await file.arrayBuffer()));
  }

  async #play(name, buffer, marks = []) {
    const bytes = new Uint8Array(buffer);
    const wav = readWav(bytes);
    this.#stopTalking();
    await this.#speech.play(name, bytes, wav, marks);
  }

  async #talk() {
    if (this.microphone.on) {
      this.#live?.end();
      this.#stopTalking();
      return;
    }
    this.onGesture();
    this.notice.clear(ABOUT);
    this.#pressed(true);
    try {
      await this.microphone.start(
        async (rate) => (this.#live = await this.#speech.live("microphone", rate)),
        (pcm) => this.#live?.push(pcm),
      );
    } catch (error) {
      this.#stopTalking();
      if (error.code && typeof error.code === "string") {
        this.notice.problem(error, ABOUT);
      } else {
        const { title, todo } = ofMicrophone(error);
        this.notice.show(title, todo, ABOUT);
      }
    }
  }

  #stopTalking() {
    this.microphone.stop();
    this.#live = null;
    this.#pressed(false);
  }

  #pressed(pressed) {
    const button = find("microphone");
    button.setAttribute("aria-pressed", String(pressed));
    button.querySelector("span").textContent = pressed ? "Stop the microphone" : "Microphone";
  }

  #interrupt() {
    if (!this.#session || find("interrupt").disabled) return;
    this.hush();
    this.#attempt(() => this.#session.interrupt());
  }

  #takeDrops(target) {
    const holdsFile = (event) =>
      this.#session && !find("choose").disabled && event.dataTransfer?.types.includes("Files");
    addEventListener("dragover", (event) => {
      if (!holdsFile(event)) return;
      event.preventDefault();
      target.hidden = false;
    });
    addEventListener("dragleave", (event) => {
      if (!event.relatedTarget) target.hidden = true;
    });
    addEventListener("drop", (event) => {
      target.hidden = true;
      if (!holdsFile(event)) return;
      event.preventDefault();
      this.#playFile(event.dataTransfer.files[0]);
    });
  }

  /** Do something that can go wrong; resolves to whether it did not. */
  async #attempt(what) {
    this.notice.clear(ABOUT);
    try {
      await what();
      return true;
    } catch (error) {
      if (error instanceof NotWav) this.notice.show(error.message, "Choose another file.", ABOUT);
      else if (error.code) this.notice.problem(error, ABOUT);
      else this.notice.show("That did not work.", `What happened: ${error.message}.`, ABOUT);
      return false;
    }
  }
}
