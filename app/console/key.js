// The API key: in memory, or for as long as the tab lives where the user wants that. Never in an
// address, never on a socket.

const NAME = "avatar-bridge.key";

export class ApiKey {
  constructor(storage) {
    this.storage = storage;
    this.value = storage.getItem(NAME) ?? "";
  }

  set(value, keep) {
    this.value = value.trim();
    if (keep) this.storage.setItem(NAME, this.value);
    else this.storage.removeItem(NAME);
  }
}
