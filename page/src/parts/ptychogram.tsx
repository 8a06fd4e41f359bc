// What a finished ptychographic scan is submitted with.

import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { Panel } from "./words";

/** What its file lacks, or has wrong, and whether its positions are to be trusted. */
export const AboutScan = () => (
  <Panel title="Scan">
    <p class="about">What is left empty is taken from the file. Give what it lacks, or has wrong.</p>
    <Group legend="Positions">
      <label>
        unit
        <select name="unit">
          <option value="">as the file or its numbers tell</option>
          <option value="pixel">pixels of the object</option>
          <option value="m">m</option>
          <option value="mm">mm</option>
          <option value="um">µm</option>
          <option value="nm">nm</option>
        </select>
      </label>
      <label>
        refined from iteration
        <input name="positions_start" type="number" min={0} placeholder="never" />
      </label>
      <label>
        searched within, pixels
        <input name="search_px" type="number" min={0} max={100} step="any" placeholder="0" />
      </label>
    </Group>
    <Group legend="Beam and detector">
      <Quantity name="energy_kev" label="photon energy, keV" />
      <Quantity name="distance_m" label="sample to detector, m" />
      <Quantity name="detector_pixel_m" label="detector pixel, µm" inOne={1e6} />
      <Quantity name="focus_m" label="focus to sample, mm" inOne={1e3} placeholder="far field" />
    </Group>
    <p class="about">Without a focus the detector stands in the far field; “inf” is a parallel beam.</p>
    <Group legend="Dark and flat field">
      <Path name="dark" label="dark field" example="dark.tif" />
      <Path name="flat" label="flat field" example="flat.npy" />
      <Path name="roi" label="rows and columns that were read" example="0:256,0:256" />
    </Group>
    <p class="about">Both are paths of TIFF or npy files of the whole chip, below a data root of the service.</p>
  </Panel>
);

const Group = ({ legend, children }: { legend: string; children: ComponentChildren }) => (
  <fieldset>
    <legend>{legend}</legend>
    <div class="fields">{children}</div>
  </fieldset>
);

/** A number in a handy unit, sent in that of the service; inOne: so many handy ones are one of the service. What is no number is sent as it is, and refused. */
function Quantity({ name, label, inOne = 1, placeholder }: { name: string; label: string; inOne?: number; placeholder?: string }) {
  const [text, setText] = useState("");
  const number = Number(text) / inOne;
  return (
    <label>
      {label}
      <input inputMode="decimal" autocomplete="off" placeholder={placeholder} value={text} onInput={(event) => setText(event.currentTarget.value)} />
      <input type="hidden" name={name} value={!text.trim() || Number.isNaN(number) ? text : number} />
    </label>
  );
}

const Path = ({ name, label, example }: { name: string; label: string; example: string }) => (
  <label>
    {label}
    <input name={name} autocomplete="off" spellcheck={false} placeholder={example} />
  </label>
);
