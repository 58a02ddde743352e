// What this tab keeps of the session it shows, so that a reload loses nothing.

const NAME = "avatar-bridge.session";

export class Memory {
  constructor(storage) {
    this.storage = storage;
  }

  keep(id, state) {
    try {
      this.storage.setItem(NAME, JSON.stringify({ id, ...state }));
    } catch {
      // Full, or not allowed: then a reload begins with an empty page.
    }
  }

  /** What was kept of this session, once; null for none. */
  recall(id) {
    const kept = JSON.parse(this.storage.getItem(NAME) ?? "null");
    this.storage.removeItem(NAME);
    return kept?.id === id ? kept : null;
  }
}
