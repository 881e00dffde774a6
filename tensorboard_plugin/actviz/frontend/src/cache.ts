// Maps that were fetched, by (run, layer, step, time of logging): the last used ones are kept, up to a number of bytes.
import { ApiError, fetchMaps, fetchMapsRange, type MapsRange } from "./api";
import type { Maps } from "./types";

const CAPACITY_BYTES = 96 << 20;

export interface MapsKey {
  run: string;
  layer: string;
  /** Of a volume a slice that is not the middle one, as in its name (`depths.ts`); else empty. */
  part: string;
  step: number;
  /** When the step was logged: a step logged anew has other maps. */
  wallTime_s: number;
}

type Load = (run: string, layer: string, step: number) => Promise<Maps>;
type LoadRange = (run: string, layer: string, from: number, to: number) => Promise<MapsRange>;

export class MapsCache {
  private readonly kept = new Map<string, Maps>();
  private readonly underWay = new Map<string, Promise<Maps>>();
  private readonly absent = new Set<string>();
  private bytes = 0;

  constructor(
    private readonly load: Load = fetchMaps,
    private readonly capacity = CAPACITY_BYTES,
    private readonly loadRange: LoadRange = fetchMapsRange,
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
    return this.underWay.get(nameOf(key)) ?? this.await(key, this.loadOne(key));
  }

  /** Whether there is nothing to fetch: the maps are here, on their way, or were not logged. */
  has(key: MapsKey): boolean {
    const name = nameOf(key);
    return this.kept.has(name) || this.underWay.has(name) || this.absent.has(name);
  }

  /** Fetches what is missing of successive steps, ascending, of one run and layer: neighbours in one request. */
  async fetchAhead(keys: readonly MapsKey[]): Promise<void> {
    const requests: Promise<unknown>[] = [];
    for (const group of this.missing(keys)) {
      const [first, last] = [group[0] as MapsKey, group[group.length - 1] as MapsKey];
      const range = first === last ? null : this.loadRange(first.run, first.layer + first.part, first.step, last.step);
      const answer = range?.catch(
        (): MapsRange => ({ maps: new Map(), next: Number.NEGATIVE_INFINITY, unreadable: [] }),
      );
      for (const key of group) {
        requests.push(this.await(key, answer ? answer.then((found) => this.within(found, key)) : this.loadOne(key)));
      }
    }
    await Promise.allSettled(requests);
  }

  private loadOne(key: MapsKey): Promise<Maps> {
    return this.load(key.run, key.layer + key.part, key.step);
  }

  /** A step's maps from a range. What that had no room for, or could not read, is asked for alone: that answer says why. */
  private within({ maps, next, unreadable }: MapsRange, key: MapsKey): Maps | Promise<Maps> {
    const found = maps.get(key.step);
    if (found !== undefined) return found;
    if ((next !== null && key.step >= next) || unreadable.includes(key.step)) return this.loadOne(key);
    this.absent.add(nameOf(key));
    throw new ApiError("no_data", `No maps of ${key.layer} at step ${key.step}`);
  }

  private missing(keys: readonly MapsKey[]): MapsKey[][] {
    const groups: MapsKey[][] = [];
    let open: MapsKey[] | null = null;
    for (const key of keys) {
      if (this.has(key)) open = null;
      else if (open !== null) open.push(key);
      else {
        open = [key];
        groups.push(open);
      }
    }
    return groups;
  }

  private await(key: MapsKey, answer: Promise<Maps>): Promise<Maps> {
    const name = nameOf(key);
    const request = answer
      .then((maps) => {
        this.keep(name, maps);
        return maps;
      })
      .finally(() => this.underWay.delete(name));
    this.underWay.set(name, request);
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

function nameOf({ run, layer, part, step, wallTime_s }: MapsKey): string {
  return JSON.stringify([run, layer, part, step, wallTime_s]);
}

export const mapsCache = new MapsCache();
