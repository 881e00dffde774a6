// The frame: runs and layers at the left, the view, the time line below.
import type { JSX } from "preact";
import { useEffect, useErrorBoundary, useRef, useState } from "preact/hooks";
import { Findings } from "./components/findings";
import { Help } from "./components/help";
import { Layers, Search } from "./components/layers";
import { Notices } from "./components/notices";
import { Runs } from "./components/runs";
import { CopyLink, Save, SaveButton } from "./components/save";
import { Splitter } from "./components/splitter";
import { TimeLine } from "./components/timeline";
import { Transport } from "./components/transport";
import { formatShape } from "./format";
import { chosenLeft, LEAST_LEFT, leftWidth, mostLeft, quiltHeight, slim, windowWidth } from "./layout";
import { typeOf } from "./rows";
import { helpShown, layerInfo, layers, mainWidth, models, runErrors, runs, VIEWS, type View, view } from "./state";
import { fitted } from "./text";
import { CompareControls, CompareView } from "./views/compare";
import { Empty } from "./views/empty";
import { LayerControls, LayerView } from "./views/layer";
import { Overview, OverviewControls } from "./views/overview";
import { PropagationControls, PropagationView } from "./views/propagation";
import { SimilarityControls, SimilarityView } from "./views/similarity";

interface ViewParts {
  label: string;
  Body: (props: { available: number }) => JSX.Element;
  Controls: () => JSX.Element | null;
}

const PARTS: Readonly<Record<View, ViewParts>> = {
  overview: { label: "Overview", Body: Overview, Controls: OverviewControls },
  layer: { label: "Layer", Body: LayerView, Controls: LayerControls },
  propagation: { label: "Propagation", Body: PropagationView, Controls: PropagationControls },
  compare: { label: "Compare", Body: CompareView, Controls: CompareControls },
  similarity: { label: "Similarity", Body: SimilarityView, Controls: SimilarityControls },
};

export function App() {
  const answer = runs.value;
  if (answer === null || answer.runs.length === 0) return <Empty />;
  return <Instrument />;
}

function Instrument() {
  const body = useRef<HTMLDivElement>(null);
  const [available, setAvailable] = useState(600);
  useEffect(() => {
    const measure = () => {
      if (window.innerWidth > 0) windowWidth.value = window.innerWidth;
      // Without the scrollbar, where it takes room: what stands at the right of a plot must not move over it.
      if (body.current && body.current.clientWidth > 0) mainWidth.value = body.current.clientWidth;
      if (body.current && body.current.clientHeight > 0) setAvailable(body.current.clientHeight);
    };
    const observer = new ResizeObserver(measure);
    if (body.current) observer.observe(body.current);
    measure();
    return () => observer.disconnect();
  }, []);
  const overview = view.value === "overview";
  return (
    <div class={slim.value ? "app slim" : "app"} style={{ "--left": `${leftWidth.value}px` }}>
      <aside class="left" aria-label="Runs and layers">
        <div class="left-head">
          <Runs />
          <Search />
        </div>
        <div class="left-body">
          <Layers height={overview ? quiltHeight(available) : null} />
          <Findings />
        </div>
      </aside>
      <main class="main">
        <div class="main-head">
          <ViewRow />
          <TitleLine />
          <Notices />
        </div>
        <div class="view" ref={body}>
          <Guarded key={view.value} available={available} />
        </div>
      </main>
      <Splitter
        label="Width of the left column"
        testid="left-splitter"
        orientation="vertical"
        size={leftWidth.value}
        least={LEAST_LEFT}
        most={mostLeft.value}
        onChange={(wanted) => {
          chosenLeft.value = wanted;
        }}
      />
      <Transport />
      <TimeLine />
      <Help />
      <Save />
    </div>
  );
}

/** The view; a fault in it is told, and leaves the rest of the page as it is. */
function Guarded({ available }: { available: number }) {
  const [error, again] = useErrorBoundary((each) => console.error(each));
  if (error)
    return (
      <div class="no-match" role="alert" data-testid="view-error">
        <p>This view failed: {error instanceof Error ? error.message : String(error)}</p>
        <button type="button" class="outlined" onClick={again}>
          Draw it again
        </button>
      </div>
    );
  if (layers.value.length > 0) {
    const { Body } = PARTS[view.value];
    return <Body available={available} />;
  }
  const reading = Object.keys(models.value).length === 0 && Object.keys(runErrors.value).length === 0;
  return <p class="no-match">{reading ? "Reading the run." : NOTHING}</p>;
}

const NOTHING =
  "No layer was logged in this run yet. Recorded are forward passes in training mode (model.train()) with gradients enabled.";

function ViewRow() {
  return (
    <nav class="view-row" aria-label="Views">
      {VIEWS.map((name, index) => (
        <button
          type="button"
          key={name}
          data-testid={`view-${name}`}
          aria-current={view.value === name ? "page" : undefined}
          onClick={() => {
            view.value = name;
          }}
        >
          <span class="key">{index + 1}</span>
          {PARTS[name].label}
        </button>
      ))}
      <span class="spacer" />
      <CopyLink />
      <SaveButton />
      <button
        type="button"
        aria-label="Keys"
        aria-expanded={helpShown.value}
        title="Keys (?)"
        onClick={() => {
          helpShown.value = !helpShown.value;
        }}
      >
        ?
      </button>
    </nav>
  );
}

function TitleLine() {
  const info = layerInfo.value;
  const { Controls } = PARTS[view.value];
  const about = info ? [typeOf(info), info.shape && formatShape(info.shape)].filter(Boolean).join("  ·  ") : "";
  return (
    <div class="title-line">
      <h1 title={info?.name ?? ""} data-testid="layer-title">
        {fitted(info?.name ?? "", mainWidth.value * (mainWidth.value < 900 ? 0.28 : 0.34), 16)}
      </h1>
      <span class="about">{about}</span>
      <span class="spacer" />
      <Controls />
    </div>
  );
}
