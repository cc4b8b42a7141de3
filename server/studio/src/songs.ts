/** The songs of this browser, kept until they expire; other tabs see the same list. */

import { markersOf, type Marker } from "./markers";

const PLACE = "stembox.songs";

export interface KeptSong {
  id: string;
  name: string;
  added: number;
  markers?: Marker[];
}

export class SongList {
  /** `changed` hears of what another tab has done. */
  constructor(changed: (songs: KeptSong[]) => void) {
    window.addEventListener("storage", (event) => {
      if (event.key === PLACE || event.key === null) changed(this.load());
    });
  }

  load(): KeptSong[] {
    try {
      const kept: unknown = JSON.parse(localStorage.getItem(PLACE) ?? "[]");
      const songs = Array.isArray(kept) ? kept.filter(isSong) : [];
      return songs.map((song) => ({ ...song, markers: markersOf(song.markers) }));
    } catch {
      return []; // no storage here, or somebody else's words in it
    }
  }

  add(song: KeptSong): void {
    this.save([song, ...this.load().filter((other) => other.id !== song.id)]);
  }

  mark(id: string, markers: Marker[]): void {
    this.save(this.load().map((song) => (song.id === id ? { ...song, markers } : song)));
  }

  remove(id: string): void {
    this.save(this.load().filter((song) => song.id !== id));
  }

  private save(songs: KeptSong[]): void {
    try {
      localStorage.setItem(PLACE, JSON.stringify(songs.map(({ id, name, added, markers }) =>
        ({ id, name, added, markers }))));
    } catch {
      // a browser that keeps nothing: the list lives as long as the page
    }
  }
}

function isSong(value: unknown): value is KeptSong {
  const song = value as Partial<KeptSong> | null;
  return typeof song?.id === "string" && typeof song.name === "string" && typeof song.added === "number";
}
