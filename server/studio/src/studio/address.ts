/** The page's address names the open song, and opens the one it names. */

import { ACCOUNT } from "./places";
import type { Song } from "../songs/state";

export interface AddressListener {
  visited(id: string, split: boolean): void;
  opened(): Song | undefined;
}

export class Address {
  constructor(private readonly listener: AddressListener) {}

  start(): void {
    window.addEventListener("hashchange", () => this.visit());
    this.visit();
  }

  /** This song is open now. */
  name(song: Song | undefined): void {
    const kind = song?.split ? "split" : "job";
    const hash = song === undefined || song.id === "" ? "" : `#/${kind}/${song.id}`;
    if (location.hash === hash || location.hash === ACCOUNT) return;
    history.replaceState(null, "", hash || location.pathname + location.search);
  }

  private visit(): void {
    const [, kind, id] = /^#\/(job|split)\/([\w-]+)$/.exec(location.hash) ?? [];
    if (id === undefined) this.name(this.listener.opened());
    else this.listener.visited(id, kind === "split");
  }
}
