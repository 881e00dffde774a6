// Decodes the binary container of the event format and of the HTTP answers; wire.py defines it.

export type TypedArray = Uint8Array | Int16Array | Uint32Array | BigInt64Array | Float32Array | Float64Array;

export interface Container {
  kind: string;
  header: Record<string, unknown>;
  arrays: Record<string, TypedArray>;
  shapes: Record<string, readonly number[]>;
}

export class ContainerError extends Error {
  override name = "ContainerError";
}

interface Entry {
  name: string;
  dtype: string;
  shape: number[];
  encoding: string;
  size: number;
}

const VERSION = 1;
const MAGIC = 0x56544341; // "ACTV"
const ALIGNMENT = 8;

const TYPES = {
  u1: Uint8Array,
  i2: Int16Array,
  u4: Uint32Array,
  i8: BigInt64Array,
  f4: Float32Array,
  f8: Float64Array,
} as const;

/** Decodes a container; every array owns its memory. */
export async function decode(buffer: ArrayBuffer): Promise<Container> {
  if (buffer.byteLength < 8)
    throw new ContainerError(`answer of ${buffer.byteLength} bytes; a container has at least 8`);
  const view = new DataView(buffer);
  if (view.getUint32(0, true) !== MAGIC)
    throw new ContainerError("answer is not a container (it does not start with ACTV)");
  let offset = 8 + view.getUint32(4, true);
  if (offset > buffer.byteLength) throw new ContainerError("container ends within its header");
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, offset - 8))) as Record<string, unknown>;
  if (typeof header.version !== "number" || header.version > VERSION)
    throw new ContainerError(
      `record of format version ${String(header.version)}; this page reads up to ${VERSION}: upgrade actviz_tb`,
    );
  const arrays: Record<string, TypedArray> = {};
  const shapes: Record<string, readonly number[]> = {};
  for (const entry of header.arrays as Entry[]) {
    const bytes = new Uint8Array(buffer, offset, entry.size);
    arrays[entry.name] = typed(entry, entry.encoding === "deflate" ? await inflate(bytes) : bytes.slice().buffer);
    shapes[entry.name] = entry.shape;
    offset += Math.ceil(entry.size / ALIGNMENT) * ALIGNMENT;
  }
  return { kind: String(header.kind), header, arrays, shapes };
}

function typed(entry: Entry, buffer: ArrayBuffer): TypedArray {
  const type = TYPES[entry.dtype as keyof typeof TYPES];
  if (type === undefined)
    throw new ContainerError(`array ${entry.name} has dtype ${entry.dtype}, which this page does not know`);
  const count = entry.shape.reduce((product, extent) => product * extent, 1);
  if (buffer.byteLength !== count * type.BYTES_PER_ELEMENT)
    throw new ContainerError(
      `array ${entry.name} has ${buffer.byteLength} bytes; its shape needs ${count * type.BYTES_PER_ELEMENT}`,
    );
  return new type(buffer);
}

async function inflate(bytes: Uint8Array<ArrayBuffer>): Promise<ArrayBuffer> {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).arrayBuffer();
}
