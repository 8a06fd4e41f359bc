// What Grafana's own types call a dashboard, as it stands in a file: enumerations are words there. A field that Grafana
// does not know is a fault of the file.
import type { Dashboard, DataQuery, FieldConfig, GraphFieldConfig, GridPos, Panel } from "@grafana/schema";
import type { Options as StatOptions } from "@grafana/schema/dist/types/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen.d.ts";
import type { Options as SeriesOptions } from "@grafana/schema/dist/types/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen.d.ts";

type Written<T> = T extends string ? `${T}` : T extends object ? { [name in keyof T]: Written<T[name]> } : T;
type Part<T> = T extends object ? { [name in keyof T]?: Part<T[name]> } : T;

interface Of<Type, Options, Custom> extends Omit<Panel, "type" | "options" | "fieldConfig" | "targets"> {
  id: number;
  type: Type;
  gridPos: GridPos;
  options: Part<Options>;
  fieldConfig: { defaults: Omit<FieldConfig, "custom"> & { custom?: Part<Custom> }; overrides: [] };
  targets: (DataQuery & { expr: string; legendFormat: string })[];
}

export type Board = Written<Omit<Dashboard, "panels">> & {
  panels: Written<Of<"stat", StatOptions, never> | Of<"timeseries", SeriesOptions, GraphFieldConfig>>[];
};
