// The one place where the page says what went wrong and what to do about it.
import { advice } from "./advice.js";

export class Notice {
  #about = null;

  constructor(element) {
    this.element = element;
    this.title = element.querySelector(".notice-title");
    this.todo = element.querySelector(".notice-todo");
    element.querySelector("button").addEventListener("click", () => this.clear());
  }

  /** Show it; `about` names what it concerns, for `clear`. */
  show(title, todo, about = null) {
    this.#about = about;
    this.title.textContent = title;
    this.todo.textContent = todo;
    this.element.hidden = false;
  }

  problem(problem, about = null) {
    const end = /[.!?]$/.test(problem.message) ? "" : ".";
    this.show(`${problem.message}${end}`, advice(problem.code), about);
  }

  /** Take it away; with `about` only what concerns that. */
  clear(about = null) {
    if (about !== null && about !== this.#about) return;
    this.element.hidden = true;
  }
}
