// Which of a wide layer's channels are shown. The choice depends on the whole run, never on the step in view, so that no column moves
// while steps go by. Pure functions.
import { nearestIndex } from "../../axis";
import type { ChannelChoice } from "../../state";
import type { Channels } from "../../types";

/** At most `keep` indices below `count`, evenly spaced: the channels that maps keep (see actviz_tb/maps.py, `evenly`). */
export function evenly(count: number, keep: number): number[] {
  if (count <= keep) return Array.from({ length: count }, (_, index) => index);
  return Array.from({ length: keep }, (_, index) => Math.floor((index * count) / keep));
}

/**
 * A number for each channel, by which the first ones are shown. `largest`: its largest absolute value in the run.
 * `changed`: how far its mean went at any step from that at the reference step.
 */
function ranks(profile: Channels, choice: ChannelChoice, reference: number | null): Map<number, number> {
  const count = profile.channels.length;
  const at = nearestIndex(profile.steps, reference ?? (profile.steps[0] as number));
  const found = new Map<number, number>();
  for (let column = 0; column < count; column++) {
    let rank = 0;
    for (let row = 0; row < profile.steps.length; row++) {
      const value =
        choice === "largest"
          ? (profile.max[row * count + column] as number)
          : Math.abs((profile.mean[row * count + column] as number) - (profile.mean[at * count + column] as number));
      if (value > rank) rank = value;
    }
    found.set(profile.channels[column] as number, rank);
  }
  return found;
}

/** The `fit` channels that are shown of those kept, in ascending order. */
export function chooseChannels(
  kept: readonly number[],
  fit: number,
  choice: ChannelChoice,
  profile: Channels | null,
  reference: number | null,
): number[] {
  if (kept.length <= fit || choice === "index" || profile === null) return kept.slice(0, fit);
  const rank = ranks(profile, choice, reference);
  const sorted = [...kept].sort((one, other) => (rank.get(other) ?? 0) - (rank.get(one) ?? 0) || one - other);
  return sorted.slice(0, fit).sort((one, other) => one - other);
}
