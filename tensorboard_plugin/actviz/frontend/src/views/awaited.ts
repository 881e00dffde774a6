// Awaiting what is in view, while something else may already be wanted.
import { useEffect, useState } from "preact/hooks";

const SAY_WAITING_AFTER_MS = 150;

export interface Awaited<T> {
  /** What came last, and the name of what it is: it may be that of something wanted before. */
  last: { of: string; data: T } | null;
  /** Why what is wanted did not come. */
  error: string | null;
  /** Whether it has been awaited long enough to say so. */
  late: boolean;
}

/** Loads what `wanted` names; null: nothing. An answer to a former question is dropped; `arrived` hears of the others. */
export function useAwaited<T>(wanted: string | null, load: () => Promise<T>, arrived: (data: T) => void): Awaited<T> {
  const [last, setLast] = useState<{ of: string; data: T } | null>(null);
  const [failure, setFailure] = useState<{ of: string; error: string } | null>(null);
  const [late, setLate] = useState<string | null>(null);
  useEffect(() => {
    if (wanted === null) return undefined;
    let current = true;
    const timer = setTimeout(() => setLate(wanted), SAY_WAITING_AFTER_MS);
    load()
      .then((data) => {
        if (!current) return;
        setLast({ of: wanted, data });
        setFailure(null);
        arrived(data);
      })
      .catch((error: unknown) => {
        if (current) setFailure({ of: wanted, error: error instanceof Error ? error.message : String(error) });
      })
      .finally(() => {
        clearTimeout(timer);
        if (current) setLate(null);
      });
    return () => {
      current = false;
      clearTimeout(timer);
    };
  }, [wanted]);
  return {
    last,
    error: wanted !== null && failure?.of === wanted ? failure.error : null,
    late: wanted !== null && late === wanted,
  };
}
