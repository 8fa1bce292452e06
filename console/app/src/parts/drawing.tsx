import { type KeyboardEvent, useEffect, useMemo, useRef, useState } from "react";
import { around, type Graph, type Node } from "../pages/graph";

const columns = ["Service accounts", "Roles", "What they reach"];
const width = 960;
const box = { width: 250, height: 44, gap: 12, top: 40 };

const x = (column: number) => [0, (width - box.width) / 2, width - box.width][column]!;
const y = (row: number) => box.top + row * (box.height + box.gap);
const short = (text: string, most: number) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

interface DrawingProps {
  graph: Graph;
  chosen?: string;
  onChoose: (node: Node) => void;
}

/** The map, drawn. One node is reached by the tab key, the others by the arrows from there. */
export function Drawing({ graph, chosen, onChoose }: DrawingProps) {
  const all = graph.nodes.flat();
  const [at, setAt] = useState<string>();
  const here = all.some((n) => n.key === at) ? at : all[0]?.key;
  const svg = useRef<SVGSVGElement>(null);
  const moved = useRef(false);
  const lit = useMemo(() => (chosen ? around(graph, chosen) : undefined), [graph, chosen]);
  const rows = Math.max(1, ...graph.nodes.map((c) => c.length));
  const where = new Map(graph.nodes.flatMap((c) => c.map((n, row) => [n.key, { x: x(n.column), y: y(row) }] as const)));
  useEffect(() => {
    if (moved.current) svg.current?.querySelector<SVGGElement>('[tabindex="0"]')?.focus();
    moved.current = false;
  }, [at]);
  const move = (node: Node, event: KeyboardEvent) => {
    const column = graph.nodes[node.column];
    const row = column.indexOf(node);
    const linked = (to: 0 | 1 | 2) => graph.nodes[to].find((n) => graph.links.some((l) => (l.from === node.key && l.to === n.key) || (l.to === node.key && l.from === n.key)));
    const next = {
      ArrowUp: column[row - 1],
      ArrowDown: column[row + 1],
      Home: column[0],
      End: column.at(-1),
      ArrowLeft: node.column > 0 ? linked((node.column - 1) as 0 | 1) : undefined,
      ArrowRight: node.column < 2 ? linked((node.column + 1) as 1 | 2) : undefined,
    }[event.key];
    if (event.key === "Enter" || event.key === " ") onChoose(node);
    else if (!next && !event.key.startsWith("Arrow")) return;
    event.preventDefault();
    if (next) {
      moved.current = true;
      setAt(next.key);
    }
  };
  return (
    <div className="map">
      <svg ref={svg} viewBox={`-2 0 ${width + 4} ${y(rows)}`} role="group" aria-label="Map of service accounts, roles and what they reach. The arrow keys go from one to the next.">
        {columns.map((title, i) => (
          <text key={title} x={x(i)} y={22} className="column" aria-hidden="true">
            {title}
          </text>
        ))}
        {graph.links.map((l) => {
          const from = where.get(l.from)!;
          const to = where.get(l.to)!;
          const [x1, y1, x2, y2] = [from.x + box.width, from.y + box.height / 2, to.x, to.y + box.height / 2];
          const middle = (x1 + x2) / 2;
          const on = lit?.has(l.from) && lit.has(l.to);
          return (
            <path
              key={`${l.from}\n${l.to}`}
              d={`M${x1},${y1} C${middle},${y1} ${middle},${y2} ${x2},${y2}`}
              className={`link ${l.sure ? "" : "open"} ${on ? "lit" : lit ? "dim" : ""}`}
              aria-hidden="true"
            />
          );
        })}
        {all.map((n) => {
          const p = where.get(n.key)!;
          return (
            <g
              key={n.key}
              transform={`translate(${p.x},${p.y})`}
              role="button"
              tabIndex={n.key === here ? 0 : -1}
              aria-pressed={n.key === chosen}
              className={`node ${lit ? (lit.has(n.key) ? "lit" : "dim") : ""}`}
              onClick={() => {
                setAt(n.key);
                onChoose(n);
              }}
              onKeyDown={(event) => move(n, event)}
            >
              <title>{`${n.label}, ${n.detail}${n.search ? `, ${n.size.toLocaleString("en")} service accounts` : ""}`}</title>
              <rect width={box.width} height={box.height} rx={8} />
              <text x={12} y={19} className="label">
                {short(n.label, 34)}
              </text>
              <text x={12} y={35} className="detail">
                {short(n.search ? `${n.size.toLocaleString("en")} service accounts` : n.detail, 40)}
              </text>
            </g>
          );
        })}
      </svg>
    </div>
  );
}
