// Curves, with the colours of the theme.

import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { figure, mark } from "../words";
import { colourOf, sizeOfType } from "./hooks";

export interface CurveProps {
  label: string;
  x: string;
  y: string;
  points: [number[], (number | null)[]];
  log?: boolean;
  level?: { value: number; label: string } | null;
}

const HEIGHT = 14.5; // as a multiple of the size of the type, which grows with the screen
const FEW = 30; // points that are drawn each by itself
const WHOLE = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 100_000]; // between marks of what is counted

export function Curve({ label, x, y, points, log = false, level = null }: CurveProps) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const whole = points[0].every(Number.isInteger);
  const data = (): uPlot.AlignedData => [points[0], points[1], ...(level ? [points[0].map(() => level.value)] : [])];

  // an effect of the layout ends with the element: another ends after the next frame, and would draw where nothing is any more
  useLayoutEffect(() => {
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const make = () => {
      plot.current?.destroy();
      type = sizeOfType();
      plot.current = new uPlot(options(box.current!.clientWidth, type, x, y, log, whole, level?.label), data(), box.current!);
    };
    const resized = new ResizeObserver(([entry]) =>
      type === sizeOfType() ? plot.current?.setSize({ width: Math.floor(entry!.contentRect.width), height: HEIGHT * type }) : make(),
    );
    let type = 0;
    make();
    resized.observe(box.current!);
    dark.addEventListener("change", make);
    return () => {
      dark.removeEventListener("change", make);
      resized.disconnect();
      plot.current?.destroy();
    };
  }, [x, y, log, whole, level?.label]);

  useEffect(() => plot.current?.setData(data()), [points, level?.value]);

  const last = points[1].at(-1);
  return <div ref={box} class="curve" role="img" aria-label={`${label}: ${points[0].length} points, the last is ${figure(last)}`} />;
}

function options(width: number, type: number, x: string, y: string, log: boolean, whole: boolean, level?: string): uPlot.Options {
  const [ink, faint, line, other] = ["--ink-2", "--rule", "--accent", "--warm"].map(colourOf) as [string, string, string, string];
  const axis = { stroke: ink, grid: { stroke: faint, width: 1 }, ticks: { stroke: faint, width: 1 }, font: `${0.86 * type}px system-ui` };
  return {
    width,
    height: HEIGHT * type,
    legend: { show: false },
    cursor: { points: { size: 6 }, drag: { x: false, y: false } },
    scales: { x: { time: false }, y: { distr: log ? 3 : 1 } },
    axes: [
      { ...axis, label: x, labelSize: 1.35 * type, labelFont: axis.font, size: 2.3 * type, space: 4 * type, ...(whole && { incrs: WHOLE }) },
      {
        ...axis, label: y, labelSize: 1.35 * type, labelFont: axis.font, size: 4.6 * type, space: 2 * type,
        values: (_, marks) => marks.map((value) => (value === null ? "" : log ? mark(value) : figure(value, 2))),
      },
    ],
    series: [
      {},
      { stroke: line, width: 2, points: { show: ({ data }) => data[0].length <= FEW, size: 0.4 * type, fill: line } },
      ...(level ? [{ stroke: other, width: 1, dash: [4, 4], points: { show: false } }] : []),
    ],
  };
}
