// What the page says of the session it shows: its name, its state, and what covers the picture
// while there is none.
import { find } from "./dom.js";
import { shortId } from "./session-list.js";

const WORDS = { starting: "starting", ready: "ready", ended: "over", failed: "failed" };
const SPEAKING = ["say", "say-send", "microphone", "sample", "choose", "interrupt", "pause", "end"];

export class Heading {
  #view = {};

  get over() {
    return this.#view.status === "ended" || this.#view.status === "failed";
  }

  /** Begin with another session. */
  open(view) {
    this.#view = {};
    find("session-title").textContent = `Session ${shortId(view.id)}`;
    this.show(view);
  }

  /** Show the session, or what has changed of it. */
  show(news) {
    if (this.over && news.status !== "failed") return; // what is over does not begin again
    const view = { ...this.#view, ...news };
    this.#view = view;
    const reason = view.end_reason ?? view.error?.detail;
    const why = this.over && reason ? `: ${reason.replaceAll("_", " ")}` : "";
    const state = find("state");
    if (state.textContent !== WORDS[view.status] + why)
      state.textContent = WORDS[view.status] + why;
    state.dataset.status = view.status;
    const ends = new Date(view.expires_at);
    const time = ends.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    find("expires").textContent = this.over ? "" : `until ${time}`;
    find("room").hidden = !view.conversation_url || this.over;
    if (view.conversation_url) find("room").href = view.conversation_url;
    for (const id of SPEAKING) find(id).disabled = this.over;
    if (view.status === "starting") this.cover("Waiting for the replica …");
    else this.cover(this.over ? "The session is over." : "");
    find("another").hidden = !this.over;
    find("fps").hidden = this.over; // a last picture may still come
  }

  /** Cover the picture with words; with none show it. */
  cover(words) {
    find("veil-words").textContent = words;
    find("veil").hidden = !words;
  }
}
