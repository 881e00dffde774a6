// The frame: runs and layers at the left, the view, the time line below.
import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { Findings } from "./components/findings";
import { Help } from "./components/help";
import { Layers, Search } from "./components/layers";
import { Notices } from "./components/notices";
import { Runs } from "./components/runs";
import { TimeLine, Transport } from "./components/timeline";
import { formatShape, shorten } from "./format";
import { typeOf } from "./rows";
import { helpShown, layerInfo, layers, mainWidth, runs, VIEWS, type View, view } from "./state";
import { CompareControls, CompareView } from "./views/compare";
import { Empty } from "./views/empty";
import { LayerControls, LayerView } from "./views/layer";
import { Overview, OverviewControls, quiltHeight } from "./views/overview";
import { PropagationControls, PropagationView } from "./views/propagation";
import { SimilarityControls, SimilarityView } from "./views/similarity";

interface ViewParts {
  label: string;
  Body: (props: { available: number }) => JSX.Element;
  Controls: () => JSX.Element;
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
  const main = useRef<HTMLDivElement>(null);
  const body = useRef<HTMLDivElement>(null);
  const [available, setAvailable] = useState(600);
  useEffect(() => {
    const measure = () => {
      if (main.current && main.current.clientWidth > 0) mainWidth.value = main.current.clientWidth;
      if (body.current && body.current.clientHeight > 0) setAvailable(body.current.clientHeight);
    };
    const observer = new ResizeObserver(measure);
    if (main.current) observer.observe(main.current);
    if (body.current) observer.observe(body.current);
    measure();
    return () => observer.disconnect();
  }, []);
  const overview = view.value === "overview";
  const { Body } = PARTS[view.value];
  return (
    <div class="app">
      <aside class="left" aria-label="Runs and layers">
        <Runs />
        <Search />
        <Layers height={overview ? quiltHeight(available) : null} />
        <Findings />
      </aside>
      <main class="main" ref={main}>
        <ViewRow />
        <TitleLine />
        <Notices />
        <div class="view" ref={body}>
          {layers.value.length === 0 ? <p class="no-match">Reading the run.</p> : <Body available={available} />}
        </div>
      </main>
      <Transport />
      <TimeLine />
      <Help />
    </div>
  );
}

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
        {shorten(info?.name ?? "", 44)}
      </h1>
      <span class="about">{about}</span>
      <span class="spacer" />
      <Controls />
    </div>
  );
}
