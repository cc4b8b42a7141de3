/** The account's songs of this tab: they go when it is closed, as its key does. */

import { markersOf, type Marker } from "./markers";
import type { KeptSong } from "./songs";

const PLACE = "stembox.split";

export class SplitList {
  load(): KeptSong[] {
    try {
      const kept: unknown = JSON.parse(sessionStorage.getItem(PLACE) ?? "[]");
      const songs = Array.isArray(kept) ? (kept as KeptSong[]) : [];
      return songs.map((song) => ({ ...song, markers: markersOf(song.markers) }));
    } catch {
      return []; // no storage here
    }
  }

  add(song: KeptSong): void {
    this.save([song, ...this.load().filter((other) => other.id !== song.id)]);
  }

  remove(id: string): void {
    this.save(this.load().filter((song) => song.id !== id));
  }

  mark(id: string, markers: Marker[]): void {
    this.save(this.load().map((song) => (song.id === id ? { ...song, markers } : song)));
  }

  private save(songs: KeptSong[]): void {
    try {
      sessionStorage.setItem(PLACE, JSON.stringify(songs.map(
        ({ id, name, added, markers = [] }) => ({ id, name, added, markers }))));
    } catch {
      // it holds for this page
    }
  }
}
