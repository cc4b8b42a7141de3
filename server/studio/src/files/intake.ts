/** Takes songs in: files that are sent, the demo song; says why one was not taken. */

import { AccountError } from "../account/account-api";
import type { AllSongs } from "../songs/all-songs";
import { ApiError, type Job } from "../api/api";
import type { Host } from "../songs/host";
import { songOf, type Library } from "../songs/library";
import { mixOf } from "../base/mix";
import type { Song, State } from "../songs/state";
import { refusalOf } from "../songs/status";
import type { Store } from "../base/store";
import { Uploads } from "./uploads";

const MEGABYTE = 1_048_576;

export interface IntakeListener {
  /** A new song is about to be sent. */
  taken(song: Song): void;
  /** The server has made a job of a song. */
  accepted(song: Song, job: Job): void;
}

export class Intake {
  private readonly uploads: Uploads;
  private readonly files = new Map<string, File>();
  private keys = 0;

  constructor(
    private readonly api: AllSongs, private readonly store: Store<State>,
    private readonly library: Library, private readonly host: Host,
    private readonly listener: IntakeListener,
  ) {
    this.uploads = new Uploads(api, {
      progress: (key, sent, since) => {
        const upload = library.find(key)?.upload;
        if (upload) library.change(key, { upload: { sent, total: upload.total, since } });
      },
      waits: (key, until) => {
        const upload = library.find(key)?.upload;
        if (upload) library.change(key, { upload: { ...upload, until } });
      },
      accepted: (key, job) => this.accept(key, job),
      refused: (key, error) => this.refuse(key, error),
    });
  }

  addFiles(files: Iterable<File>): void {
    for (const file of files) this.addFile(file);
  }

  /** Returns the demo song, once it has a job; undefined where it was not given. */
  async addDemo(): Promise<Song | undefined> {
    this.store.update({ notice: "" });
    try {
      const job = await this.api.demo();
      const name = job.input?.file_name ?? "Demo song";
      const song = songOf({ id: job.job_id, name, added: Date.now() }, false);
      this.library.add(song);
      this.library.remember(song);
      this.listener.accepted(song, job);
      return song;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.host.complain(error, `The demo song could not be had. ${error.message}`);
      return undefined;
    }
  }

  /** Sends the file of a song once more. */
  retry(key: string): void {
    const file = this.files.get(key);
    if (file === undefined) return;
    this.library.forget(key);
    this.addFile(file);
  }

  canRetry(key: string): boolean {
    return this.files.has(key);
  }

  /** Lets a song's file go, on its way or not. */
  leave(key: string): void {
    this.uploads.cancel(key);
    this.files.delete(key);
  }

  private addFile(file: File): void {
    const key = `new-${++this.keys}`;
    this.files.set(key, file);
    const upload = { sent: 0, total: file.size, since: 0 };
    const song = { key, id: "", name: file.name, added: Date.now(), upload, markers: [],
      mix: mixOf(this.api.tracks(file)), split: this.api.chosen(file) !== undefined };
    this.library.add(song);
    this.store.update({ notice: "" });
    const { limit } = this.store.value;
    if (limit > 0 && !song.split && file.size > limit * MEGABYTE) {
      this.refuse(key, new ApiError(413, `This file is larger than ${limit} MB.`));
      return;
    }
    this.listener.taken(song);
    this.uploads.add(key, file);
  }

  private accept(key: string, job: Job): void {
    const song = this.library.find(key);
    if (song === undefined) return void this.api.remove(job.job_id).catch(() => undefined);
    const { upload: _, ...rest } = song;
    const added = { ...rest, id: job.job_id };
    this.library.remember(added);
    this.library.put(added);
    this.listener.accepted(added, job);
  }

  private refuse(key: string, error: ApiError): void {
    this.library.change(key, { refused: refusalOf(error) });
    if (error instanceof AccountError) {
      if (error.code === "INSUFFICIENT_CREDITS") this.library.change(key, { purchase: error.purchaseUrl });
    } else if (error.status === 401) this.store.update({ locked: true });
  }
}
