/** A list of songs that a browser's storage keeps: for the browser, or for one tab. */

import { markersOf, type Marker } from "../base/markers";

export interface KeptSong {
  id: string;
  name: string;
  added: number;
  markers?: Marker[];
  /** Unix milliseconds since when its files are known to be gone. */
  gone?: number | undefined;
}

export class SongList {
  /** `storage` throws in a browser that keeps nothing: the list lives as long as the page then. */
  constructor(private readonly place: string, private readonly storage: () => Storage) {}

  /** `changed` hears of what another tab has done. */
  watch(changed: (songs: KeptSong[]) => void): void {
    window.addEventListener("storage", (event) => {
      if (event.key === this.place || event.key === null) changed(this.load());
    });
  }

  load(): KeptSong[] {
    try {
      const kept: unknown = JSON.parse(this.storage().getItem(this.place) ?? "[]");
      const songs = Array.isArray(kept) ? kept.filter(isSong) : [];
      return songs.map((song) => ({ ...song, markers: markersOf(song.markers) }));
    } catch {
      return []; // no storage here, or somebody else's words in it
    }
  }

  add(song: KeptSong): void {
    this.save([song, ...this.load().filter((other) => other.id !== song.id)]);
  }

  change(id: string, change: Partial<KeptSong>): void {
    this.save(this.load().map((song) => (song.id === id ? { ...song, ...change } : song)));
  }

  remove(ids: string[]): void {
    const gone = new Set(ids);
    if (gone.size > 0) this.save(this.load().filter((song) => !gone.has(song.id)));
  }

  private save(songs: KeptSong[]): void {
    try {
      this.storage().setItem(this.place, JSON.stringify(songs.map(({ id, name, added, markers, gone }) =>
        ({ id, name, added, markers, gone }))));
    } catch {
      // no storage, or no room in it
    }
  }
}

function isSong(value: unknown): value is KeptSong {
  const song = value as Partial<KeptSong> | null;
  return typeof song?.id === "string" && typeof song.name === "string" && Number.isFinite(song.added)
    && (song.gone === undefined || Number.isFinite(song.gone));
}
