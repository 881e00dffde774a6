// The Propagation view's controls in the title line.
import { type ChannelChoice, channelChoice, type ScaleMode, scaleMode } from "../../state";
import { Chooser, FocusRun } from "../layer/controls";

export function PropagationControls() {
  return (
    <>
      <Chooser<ChannelChoice>
        label="Channels"
        testid="channel-choice"
        state={channelChoice}
        choices={[
          ["index", "in order"],
          ["largest", "largest in the run"],
          ["changed", "most changed since the reference"],
        ]}
      />
      <Chooser<ScaleMode>
        label="Scale"
        testid="scale-mode"
        state={scaleMode}
        choices={[
          ["locked", "locked over steps"],
          ["layer", "each layer"],
          ["map", "each map"],
        ]}
      />
      <FocusRun />
    </>
  );
}
