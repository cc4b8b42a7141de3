/**
 * The songs that the page knows, the newest first, and where each is remembered: in this browser,
 * or, an account's, in this tab. Knows no network and no player.
 */

import type { Marker } from "../base/markers";
import { mixOf } from "../base/mix";
import { SongList, type KeptSong } from "./kept-songs";
import type { Song, State } from "./state";
import type { Store } from "../base/store";
import { ORIGINAL, PIPELINE_TRACKS } from "../base/tracks";

const LINGER = 24 * 3_600_000; // milliseconds for which an expired song is still listed

export interface LibraryListener {
  added(song: Song): void;
  /** It is about to go out of the list. */
  forgotten(song: Song): void;
}

export class Library {
  private readonly list = new SongList("stembox.songs", () => localStorage);
  private readonly splits = new SongList("stembox.split", () => sessionStorage);

  constructor(private readonly store: Store<State>, private readonly listener: LibraryListener) {
    this.list.watch((songs) => this.meet(songs));
  }

  get songs(): Song[] {
    return this.store.value.songs;
  }

  /** Puts in what is remembered. */
  load(): void {
    this.meet(this.list.load());
    this.addAll(this.splits.load().map((kept) => songOf(kept, true)));
    this.sweep();
  }

  find(key: string): Song | undefined {
    return this.songs.find((song) => song.key === key);
  }

  withId(id: string): Song | undefined {
    return this.songs.find((song) => song.id === id);
  }

  add(song: Song): void {
    this.addAll([song]);
  }

  /** The song of this key is this one now. */
  put(song: Song): void {
    this.store.update({ songs: this.songs.map((other) => (other.key === song.key ? song : other)) });
  }

  change(key: string, change: Partial<Song>): void {
    const song = this.find(key);
    if (song !== undefined) this.put({ ...song, ...change });
  }

  /** From now on the song is in the list when the page is opened again. */
  remember(song: Song): void {
    this.listOf(song).add(song);
  }

  mark(key: string, change: (markers: Marker[]) => Marker[]): void {
    const song = this.find(key);
    if (song === undefined) return;
    const markers = change(song.markers);
    this.put({ ...song, markers });
    this.listOf(song).change(song.id, { markers });
  }

  /** Its files are gone, or after all they are not. */
  expire(key: string, gone: boolean): void {
    const song = this.find(key);
    if (song === undefined || gone === (song.gone !== undefined)) return;
    const since = gone ? Date.now() : undefined;
    this.put({ ...song, gone: since });
    this.listOf(song).change(song.id, { gone: since });
  }

  /** Forgets the songs whose end there was time to read of. */
  sweep(): void {
    const before = Date.now() - LINGER;
    this.forgetAll(this.songs.filter((song) => song.gone !== undefined && song.gone < before));
  }

  forget(key: string): void {
    this.forgetAll(this.songs.filter((song) => song.key === key));
  }

  forgetAll(songs: Song[]): void {
    this.drop(songs);
    for (const list of [this.list, this.splits]) {
      const its = songs.filter((song) => song.id !== "" && this.listOf(song) === list);
      list.remove(its.map((song) => song.id));
    }
  }

  /** Songs that this browser remembers, from before or from another tab. */
  private meet(kept: KeptSong[]): void {
    const ids = new Set(kept.map((song) => song.id));
    this.drop(this.songs.filter((song) => remembered(song) && !ids.has(song.id)));
    const known = new Set(this.songs.map((song) => song.id));
    const markers = new Map(kept.map((song) => [song.id, song.markers ?? []]));
    this.store.update({ songs: this.songs.map((song) => marked(song, markers.get(song.id))) });
    const fresh = kept.filter(({ id }) => !known.has(id) && known.add(id)); // each once
    this.addAll(fresh.map((song) => songOf(song, false)));
  }

  /** All at once: a long list takes as long as it is, and not each of its songs. */
  private addAll(songs: Song[]): void {
    if (songs.length === 0) return;
    this.store.update({ songs: [...songs, ...this.songs].sort((a, b) => b.added - a.added) });
    for (const song of [...songs].reverse()) this.listener.added(song);
  }

  private drop(songs: Song[]): void {
    if (songs.length === 0) return;
    for (const song of songs) this.listener.forgotten(song);
    const keys = new Set(songs.map((song) => song.key));
    this.store.update({ songs: this.songs.filter((song) => !keys.has(song.key)) });
  }

  private listOf(song: Song): SongList {
    return song.split ? this.splits : this.list;
  }
}

/** Whether it is in this browser's list, unless another tab has forgotten it. One that an address has named
 * is so from when the server first tells of it, and has no name before. */
function remembered(song: Song): boolean {
  return song.id !== "" && !song.split && song.name !== "";
}

/** The song with these markers: itself, where they are its own. */
function marked(song: Song, markers: Marker[] | undefined): Song {
  if (markers === undefined || JSON.stringify(markers) === JSON.stringify(song.markers)) return song;
  return { ...song, markers };
}

/** A song whose job is known by its id alone. */
export function songOf(kept: KeptSong, split: boolean): Song {
  const mix = mixOf(split ? [ORIGINAL] : PIPELINE_TRACKS);
  return { ...kept, key: kept.id, markers: kept.markers ?? [], mix, split };
}
