/**
 * Reads the samples of an answer's body into memory that is used again and again: played for an
 * hour, nine tracks are 6 GB, and browsers are slow to collect them.
 */

export class ByteSource {
  private readonly byob: ReadableStreamBYOBReader | null;
  private readonly plain: ReadableStreamDefaultReader<Uint8Array> | null;
  private rest = new Uint8Array(0);

  constructor(stream: ReadableStream<Uint8Array>) {
    this.byob = readerInto(stream);
    this.plain = this.byob === null ? stream.getReader() : null;
  }

  /**
   * Fills the first `count` samples. The memory goes away meanwhile: go on with what is returned.
   * Throws a RangeError where the body ends before.
   */
  async fill(samples: Int16Array, count: number): Promise<Int16Array> {
    const length = 2 * count;
    let buffer = samples.buffer as ArrayBuffer;
    for (let done = 0; done < length; ) {
      const piece = await this.read(new Uint8Array(buffer, done, length - done));
      if (piece === undefined) throw new RangeError("the body has ended");
      buffer = piece.buffer;
      done += piece.length;
    }
    return new Int16Array(buffer);
  }

  cancel(): void {
    (this.byob ?? this.plain!).cancel().catch(() => undefined);
  }

  /** Writes what comes next to the front of `into`; returns that part of it. */
  private async read(into: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer> | undefined> {
    if (this.byob !== null) {
      const { done, value } = await this.byob.read(into);
      return done ? undefined : value;
    }
    if (this.rest.length === 0) {
      const { done, value } = await this.plain!.read();
      if (done) return undefined;
      this.rest = value as Uint8Array<ArrayBuffer>;
    }
    const part = this.rest.subarray(0, into.length);
    this.rest = this.rest.subarray(part.length);
    into.set(part);
    return into.subarray(0, part.length);
  }
}

/** A reader into given memory, where the browser has one. */
function readerInto(stream: ReadableStream<Uint8Array>): ReadableStreamBYOBReader | null {
  try {
    return stream.getReader({ mode: "byob" });
  } catch {
    return null;
  }
}
