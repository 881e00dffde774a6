// The Propagation view's controls in the title line.

import { Chooser } from "../../components/chooser";
import { ModelChooser } from "../../components/models";
import { type ChannelChoice, channelChoice, type ScaleMode, scaleLocked, scaleMode } from "../../state";
import { FocusRun, ScaleChooser } from "../layer/controls";

/** One run is shown here: its own scale stands for that of all runs. */
const ownScale = {
  get value(): ScaleMode {
    return scaleLocked.value ? "locked" : scaleMode.value;
  },
  set value(chosen: ScaleMode) {
    scaleMode.value = chosen;
  },
};

export function PropagationControls() {
  return (
    <>
      <ModelChooser />
      <Chooser<ChannelChoice>
        label="Channels"
        testid="channel-choice"
        state={channelChoice}
        choices={[
          ["largest", "strongest in the run"],
          ["index", "the first"],
          ["changed", "most changed since the reference"],
        ]}
      />
      <ScaleChooser state={ownScale} overRuns={false} />
      <FocusRun />
    </>
  );
}
