/** How strong each pitch is in a moment of sound, for the eye. Pure. */

import { SAMPLE_RATE } from "../mixer/mixer";

export const MOMENT = 4096; // frames of one spectrum: 93 ms, a bin every 11 Hz
export const BANDS = 160; // from low to high, the same step in pitch each
export const LOWEST_HERTZ = 40;
export const HIGHEST_HERTZ = 16_000;
const FLOOR = -84; // dB of a full sine that is shown as nothing
const CEILING = -6;
const CONTRAST = 1.6; // what is loud stands out of what is everywhere

/** Radix-2 Fourier transform of one size, its tables made once. */
export class Fourier {
  private readonly cosine: Float32Array;
  private readonly sine: Float32Array;
  private readonly order: Uint32Array;

  constructor(private readonly size: number) {
    const half = size / 2;
    this.cosine = Float32Array.from({ length: half }, (_, k) => Math.cos((2 * Math.PI * k) / size));
    this.sine = Float32Array.from({ length: half }, (_, k) => Math.sin((2 * Math.PI * k) / size));
    this.order = new Uint32Array(size);
    for (let i = 1; i < size; i++) this.order[i] = (this.order[i >> 1]! >> 1) | (i & 1 ? half : 0);
  }

  /** In place, forward. */
  transform(real: Float32Array, imaginary: Float32Array): void {
    this.order.forEach((other, i) => {
      if (other <= i) return;
      [real[i], real[other]] = [real[other]!, real[i]!];
      [imaginary[i], imaginary[other]] = [imaginary[other]!, imaginary[i]!];
    });
    for (let span = 2; span <= this.size; span *= 2) this.pass(real, imaginary, span);
  }

  private pass(real: Float32Array, imaginary: Float32Array, span: number): void {
    const half = span / 2;
    const stride = this.size / span;
    for (let start = 0; start < this.size; start += span) {
      for (let k = 0; k < half; k++) {
        const [a, b] = [start + k, start + k + half];
        const [c, s] = [this.cosine[k * stride]!, this.sine[k * stride]!];
        const r = real[b]! * c + imaginary[b]! * s;
        const i = imaginary[b]! * c - real[b]! * s;
        real[b] = real[a]! - r;
        imaginary[b] = imaginary[a]! - i;
        real[a]! += r;
        imaginary[a]! += i;
      }
    }
  }
}

/** The edges of the bands, in bins. */
const EDGES = Float64Array.from({ length: BANDS + 1 }, (_, band) =>
  (LOWEST_HERTZ * (HIGHEST_HERTZ / LOWEST_HERTZ) ** (band / BANDS) * MOMENT) / SAMPLE_RATE);
const WINDOW = Float32Array.from({ length: MOMENT }, (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / MOMENT));

export class Spectrum {
  private readonly fourier = new Fourier(MOMENT);
  private readonly real = new Float32Array(MOMENT);
  private readonly imaginary = new Float32Array(MOMENT);

  /** The bands of `MOMENT` frames from frame `first` of interleaved stereo on, 0 to 255 each. */
  bands(stereo: Int16Array, first: number): Uint8Array<ArrayBuffer> {
    const { real, imaginary } = this;
    for (let i = 0; i < MOMENT; i++) {
      const at = 2 * (first + i); // outside of what is there: silence
      real[i] = (((stereo[at] ?? 0) + (stereo[at + 1] ?? 0)) / 65_536) * WINDOW[i]!;
    }
    imaginary.fill(0);
    this.fourier.transform(real, imaginary);
    return Uint8Array.from({ length: BANDS }, (_, band) => this.shade(EDGES[band]!, EDGES[band + 1]!));
  }

  /** The strongest bin between two; low bands are narrower than a bin, and lie between two. */
  private shade(from: number, to: number): number {
    let power = 0;
    for (let bin = Math.round(from); bin <= Math.max(Math.round(from), Math.floor(to)); bin++) {
      power = Math.max(power, this.real[bin]! ** 2 + this.imaginary[bin]! ** 2);
    }
    const decibels = 10 * Math.log10(power / (MOMENT / 4) ** 2 + 1e-12);
    const part = Math.max(0, Math.min(1, (decibels - FLOOR) / (CEILING - FLOOR)));
    return Math.round(255 * part ** CONTRAST);
  }
}
