/** Both kinds of songs behind one API: what is asked of a job goes to where it was made. */

import { Api, type FileHere, type Job, type MixFormat, type PeaksAnswer } from "../api/api";
import type { Mix } from "../base/mix";
import type { SplitSongs } from "../account/split-songs";
import { tracksOf, type Choice } from "../account/split-choice";
import { PIPELINE_TRACKS } from "../base/tracks";
import type { Window } from "../player/window-feed";

export class AllSongs extends Api {
  private readonly choices = new WeakMap<File, Choice>();

  constructor(readonly split: SplitSongs) {
    super();
  }

  /** This file becomes a StemSplit job. */
  choose(file: File, choice: Choice): void {
    this.choices.set(file, choice);
  }

  chosen(file: File): Choice | undefined {
    return this.choices.get(file);
  }

  tracks(file: File): string[] {
    const choice = this.choices.get(file);
    return choice === undefined ? PIPELINE_TRACKS : tracksOf(choice.outputType);
  }

  override job(id: string, signal?: AbortSignal): Promise<Job> {
    return this.split.has(id) ? this.split.job(id, signal) : super.job(id, signal);
  }

  override remove(id: string): Promise<void> {
    return this.split.has(id) ? this.split.remove(id) : super.remove(id);
  }

  override peaks(id: string, since: number, signal: AbortSignal): Promise<PeaksAnswer> {
    return this.split.has(id) ? this.split.peaks(id, since, signal) : super.peaks(id, since, signal);
  }

  override window(
    id: string, tracks: string[], start: number, frames: number, signal: AbortSignal,
  ): Promise<Window> {
    const { split } = this;
    if (split.has(id)) return split.window(id, tracks, start, frames, signal);
    return super.window(id, tracks, start, frames, signal);
  }

  override events(id: string, signal: AbortSignal): AsyncGenerator<Job> {
    return this.split.has(id) ? this.split.events(id, signal) : super.events(id, signal);
  }

  override upload(file: File, sent: (bytes: number) => void, signal: AbortSignal): Promise<Job> {
    const choice = this.choices.get(file);
    return choice ? this.split.upload(file, choice, sent, signal) : super.upload(file, sent, signal);
  }

  override trackUrl(id: string, track: string): string | null {
    return this.split.has(id) ? this.split.trackUrl(id, track) : super.trackUrl(id, track);
  }

  override mixUrl(id: string, mix: Mix, format: MixFormat): string | null {
    return this.split.has(id) ? this.split.mixUrl(id, mix, format) : super.mixUrl(id, mix, format);
  }

  /** A link that does not work as it stands: it lacks the key, or its signature has ended. */
  override indirect(url: string): boolean {
    return this.split.stale(url) || (!/\/api\/v1\//.test(url) && super.indirect(url));
  }

  override async file(url: string, got: (bytes: number, total: number) => void): Promise<FileHere> {
    return this.split.stale(url) ? { href: await this.split.renew(url), name: "" } : super.file(url, got);
  }
}
