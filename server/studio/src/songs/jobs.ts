/** Follows the jobs of songs until they end; what it hears of them goes into the library. */

import type { Api, Job } from "../api/api";
import { JobEvents } from "../api/events";
import type { Host } from "./host";
import type { Library } from "./library";
import { mixOf } from "../base/mix";
import type { Song } from "./state";
import { ORIGINAL, PIPELINE_TRACKS } from "../base/tracks";

export interface JobsListener {
  /** This is how the song stands now. */
  heard(song: Song): void;
  /** The server has no such job any more. */
  gone(key: string): void;
  /** It tells nothing of this song without a key. */
  locked(song: Song): void;
  /** Whether the song may hold a connection. */
  live(key: string): boolean;
}

export class Jobs {
  private readonly followed = new Map<string, JobEvents>();

  constructor(
    private readonly api: Api, private readonly library: Library, private readonly host: Host,
    private readonly listener: JobsListener,
  ) {}

  /** Follows a song whose job has not ended; begins anew with one that is followed already. */
  follow(song: Song): void {
    if (song.job === undefined || song.job.status === "processing") this.look(song);
  }

  /** Asks how a song's job stands, and follows it from there. */
  look(song: Song): void {
    if (song.id === "") return;
    this.leave(song.key);
    const { key } = song;
    const events = new JobEvents(this.api, song.id, {
      job: (job) => this.hear(key, job),
      gone: () => this.listener.gone(key),
      locked: () => this.listener.locked(song),
      away: () => this.host.lost(),
    }, () => this.listener.live(key));
    this.followed.set(key, events);
    void events.run();
  }

  /** Another song may hold a connection now. */
  yield(): void {
    for (const events of this.followed.values()) events.yield();
  }

  leave(key: string): void {
    this.followed.get(key)?.close();
    this.followed.delete(key);
  }

  /** The song's job stands so. */
  hear(key: string, job: Job): void {
    this.library.expire(key, false);
    const song = this.library.find(key);
    if (song === undefined) return;
    this.host.found();
    const nameless = song.name === ""; // an address named it, nobody knew whether there is such a song
    // A job that has ended names the original no more where its stems cannot give it back: its place
    // stays, so that the mix is set as before, and nothing is reloaded.
    const named = job.tracks ?? PIPELINE_TRACKS;
    const tracks = named.includes(ORIGINAL) ? named : [...named, ORIGINAL];
    const mix = tracks.join() === song.mix.tracks.join() ? song.mix : mixOf(tracks);
    const name = song.name || job.input?.file_name || "Song";
    const now = { ...song, name, job, mix };
    this.library.put(now);
    if (nameless) this.library.remember(now);
    this.listener.heard(now);
  }
}
