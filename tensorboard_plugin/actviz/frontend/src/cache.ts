// Maps that were fetched, by (run, layer, step, time of logging): the last used ones are kept, up to a number of bytes.
import { fetchMaps } from "./api";
import type { Maps } from "./types";

const CAPACITY_BYTES = 96 << 20;

export interface MapsKey {
  run: string;
  layer: string;
  step: number;
  /** When the step was logged: a step logged anew has other maps. */
  wallTime_s: number;
}

type Load = (run: string, layer: string, step: number, signal?: AbortSignal) => Promise<Maps>;

export class MapsCache {
  private readonly kept = new Map<string, Maps>();
  private readonly underWay = new Map<string, Promise<Maps>>();
  private bytes = 0;

  constructor(
    private readonly load: Load = fetchMaps,
    private readonly capacity = CAPACITY_BYTES,
  ) {}

  peek(key: MapsKey): Maps | undefined {
    const name = nameOf(key);
    const found = this.kept.get(name);
    if (found !== undefined) {
      this.kept.delete(name);
      this.kept.set(name, found);
    }
    return found;
  }

  /** The maps, from the cache or fetched; one request for all that ask at the same time. */
  get(key: MapsKey): Promise<Maps> {
    const found = this.peek(key);
    if (found !== undefined) return Promise.resolve(found);
    const name = nameOf(key);
    let request = this.underWay.get(name);
    if (request === undefined) {
      request = this.load(key.run, key.layer, key.step)
        .then((maps) => {
          this.keep(name, maps);
          return maps;
        })
        .finally(() => this.underWay.delete(name));
      this.underWay.set(name, request);
    }
    return request;
  }

  private keep(name: string, maps: Maps): void {
    this.kept.set(name, maps);
    this.bytes += maps.data.byteLength;
    for (const [oldest, old] of this.kept) {
      if (this.bytes <= this.capacity || oldest === name) break;
      this.kept.delete(oldest);
      this.bytes -= old.data.byteLength;
    }
  }
}

function nameOf({ run, layer, step, wallTime_s }: MapsKey): string {
  return JSON.stringify([run, layer, step, wallTime_s]);
}

export const mapsCache = new MapsCache();
