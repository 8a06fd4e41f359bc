// The surface of the crystal, coloured by the service, turned by hand.

import { Camera, Geometry, Mesh, Program, Renderer, Transform } from "ogl";
import { useEffect, useRef, useState } from "preact/hooks";
import { call } from "../api";
import { Choice } from "./choice";
import { ColourBar } from "./colourbar";
import { Trouble } from "./words";

interface Said {
  of: string;
  unit: string;
  low: number;
  high: number;
  level: number;
  length_unit: string;
}

interface Model {
  said: Said;
  positions: Float32Array;
  normals: Float32Array;
  colours: Uint16Array;
  indices: Uint32Array;
  centre: [number, number, number];
  radius: number;
}

/** The parts of a binary glTF as the service writes it: one mesh, in this order. */
export function parsed(file: ArrayBuffer): Model {
  const size = new DataView(file).getUint32(12, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(file, 20, size)));
  const from = 20 + size + 8;
  const view = (number: number): [number, number] => {
    const { byteOffset, byteLength } = head.bufferViews[number];
    return [from + byteOffset, byteLength];
  };
  const part = <T,>(number: number, kind: new (body: ArrayBuffer) => T): T => {
    const [begin, length] = view(number);
    return new kind(file.slice(begin, begin + length));
  };
  const positions = part(0, Float32Array);
  const { min, max } = head.accessors[0];
  const centre = [0, 1, 2].map((axis) => (min[axis] + max[axis]) / 2) as [number, number, number];
  let radius = 0;
  for (let at = 0; at < positions.length; at += 3)
    radius = Math.max(radius, Math.hypot(...centre.map((middle, axis) => positions[at + axis]! - middle)));
  return {
    said: head.meshes[0].extras,
    positions,
    normals: part(1, Float32Array),
    colours: part(2, Uint16Array),
    indices: part(3, Uint32Array),
    centre,
    radius,
  };
}

const VERTEX = `#version 300 es
in vec3 position, normal;
in vec4 color;
uniform mat4 modelViewMatrix, projectionMatrix;
uniform mat3 normalMatrix;
out vec3 vNormal, vColour, vPlace;
void main() {
  vec4 place = modelViewMatrix * vec4(position, 1.0);
  vNormal = normalMatrix * normal;
  vColour = color.rgb;
  vPlace = place.xyz;
  gl_Position = projectionMatrix * place;
}`;

const FRAGMENT = `#version 300 es
precision highp float;
in vec3 vNormal, vColour, vPlace;
out vec4 colour;
void main() {
  vec3 normal = normalize(vNormal), eye = normalize(-vPlace);
  float lit = 0.42 + 0.58 * max(dot(normal, normalize(vec3(0.35, 0.5, 0.8))), 0.0);
  float rim = 0.10 * pow(1.0 - max(dot(normal, eye), 0.0), 3.0);
  vec3 light = vColour * lit + rim;
  colour = vec4(mix(12.92 * light, 1.055 * pow(max(light, 0.0031308), vec3(1.0 / 2.4)) - 0.055, step(0.0031308, light)), 1.0);
}`;

const FAR = 3.35; // radii of the crystal: all of it is seen, however it is turned
const START: [number, number] = [0.5, -0.6];

/** Draws a model when something has changed: a surface at rest costs nothing. */
class Stage {
  private renderer: Renderer;
  private camera: Camera;
  private scene = new Transform();
  private mesh: Mesh | null = null;
  private speed: [number, number] = [0, 0];
  private far = FAR;
  private frame = 0;
  private held = false;
  private turning = false;
  private resized = new ResizeObserver(() => this.ask());

  constructor(private canvas: HTMLCanvasElement) {
    this.renderer = new Renderer({ canvas, dpr: Math.min(2, devicePixelRatio), alpha: true, antialias: true, webgl: 2 });
    this.camera = new Camera(this.renderer.gl, { fov: 35 });
    this.scene.rotation.set(START[0], START[1], 0);
    this.resized.observe(canvas.parentElement!);
  }

  show(model: Model): void {
    const { gl } = this.renderer;
    const geometry = new Geometry(gl, {
      position: { size: 3, data: model.positions },
      normal: { size: 3, data: model.normals },
      color: { size: 4, data: model.colours, normalized: true },
      index: { data: model.indices },
    });
    this.mesh?.geometry.remove();
    this.mesh?.setParent(null);
    this.mesh = new Mesh(gl, { geometry, program: new Program(gl, { vertex: VERTEX, fragment: FRAGMENT, cullFace: false }) });
    this.mesh.scale.set(1 / model.radius);
    this.mesh.position.set(...(model.centre.map((middle) => -middle / model.radius) as [number, number, number]));
    this.mesh.setParent(this.scene);
    this.ask();
  }

  /** By radians about the upright and the level axis. */
  turn(about: number, over: number): void {
    this.scene.rotation.y += about;
    this.scene.rotation.x = Math.min(1.57, Math.max(-1.57, this.scene.rotation.x + over));
    this.speed = [about, over];
    this.ask();
  }

  zoom(factor: number): void {
    this.far = Math.min(12, Math.max(1.6, this.far * factor));
    this.ask();
  }

  reset(): void {
    this.far = FAR;
    this.speed = [0, 0];
    this.scene.rotation.set(START[0], START[1], 0);
    this.ask();
  }

  hold(held: boolean): void {
    this.held = held;
    this.ask();
  }

  spin(turning: boolean): void {
    this.turning = turning;
    this.ask();
  }

  end(): void {
    cancelAnimationFrame(this.frame);
    this.resized.disconnect();
    this.renderer.gl.getExtension("WEBGL_lose_context")?.loseContext();
  }

  private ask(): void {
    this.frame ||= requestAnimationFrame(this.draw);
  }

  private draw = (): void => {
    this.frame = 0;
    const { clientWidth: width, clientHeight: height } = this.canvas.parentElement!;
    if (!width || !height) return;
    if (this.renderer.width !== width || this.renderer.height !== height) {
      this.renderer.setSize(width, height);
      this.camera.perspective({ aspect: width / height });
    }
    this.camera.position.z = this.far / Math.min(1, width / height);
    this.renderer.render({ scene: this.scene, camera: this.camera });
    const [about, over] = this.speed;
    // let go, it turns on and comes to rest
    if (this.turning) this.turn(0.006, 0);
    else if (!this.held && Math.abs(about) + Math.abs(over) > 1e-3) this.turn(0.93 * about, 0.93 * over);
  };
}

const COLOURS = [
  { id: "phase", label: "Phase" },
  { id: "strain", label: "Strain" },
  { id: "displacement", label: "Displacement" },
];

export function Surface({ job, revision, has }: { job: string; revision: number; has: (array: string) => boolean }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const stage = useRef<Stage | null>(null);
  const [of, setOf] = useState("phase");
  const [level, setLevel] = useState(0.3);
  const [said, setSaid] = useState<Said | null>(null);
  const [corners, setCorners] = useState(0);
  const [error, setError] = useState<Error | null>(null);
  const [turning, setTurning] = useState(false);
  const address = `v1/jobs/${job}/surface?of=${of}&level=${level}&revision=${revision}`;

  useEffect(() => {
    try {
      stage.current = new Stage(canvas.current!);
    } catch {
      setError(new Error("This browser draws no WebGL 2, so it cannot show the surface; the mesh can be downloaded."));
    }
    return () => stage.current?.end();
  }, []);

  useEffect(() => {
    const leaving = new AbortController();
    call(address, { signal: leaving.signal })
      .then((answer) => answer.arrayBuffer())
      .then((file) => {
        const model = parsed(file);
        stage.current?.show(model);
        setSaid(model.said);
        setCorners(model.positions.length / 3);
        setError(null);
      })
      .catch((wrong) => leaving.signal.aborted || setError(wrong));
    return () => leaving.abort();
  }, [address]);

  useEffect(() => {
    stage.current?.spin(turning);
  }, [turning]);

  // a wheel that zooms must not scroll as well, which only a listener that is not passive can say
  useEffect(() => {
    const box = canvas.current!;
    const wheel = (event: WheelEvent) => {
      event.preventDefault();
      stage.current?.zoom(Math.exp(0.001 * event.deltaY));
    };
    box.addEventListener("wheel", wheel, { passive: false });
    return () => box.removeEventListener("wheel", wheel);
  }, []);

  const keys = (event: KeyboardEvent) => {
    const move = ({ ArrowLeft: [-0.08, 0], ArrowRight: [0.08, 0], ArrowUp: [0, -0.08], ArrowDown: [0, 0.08] } as Record<string, [number, number]>)[event.key];
    if (move) stage.current?.turn(...move);
    else if (event.key === "+" || event.key === "=") stage.current?.zoom(0.9);
    else if (event.key === "-") stage.current?.zoom(1.1);
    else if (event.key === "0") stage.current?.reset();
    else return;
    event.preventDefault();
  };

  return (
    <div class="viewer">
      <Choice label="What colours the surface" offered={COLOURS.filter(({ id }) => id === "phase" || has(id))} chosen={of} choose={setOf} />
      {error && <Trouble error={error} />}
      <div class="stage">
        <canvas
          ref={canvas}
          tabIndex={0}
          role="application"
          aria-roledescription="surface that can be turned"
          aria-label={`Surface of the crystal coloured by ${of}. Arrow keys turn it, plus and minus zoom, 0 puts it back.`}
          data-of={said?.of}
          data-corners={corners}
          onKeyDown={keys}
          onPointerDown={(event) => {
            event.currentTarget.setPointerCapture(event.pointerId);
            stage.current?.hold(true);
            setTurning(false);
          }}
          onPointerMove={(event) => event.buttons && stage.current?.turn(0.008 * event.movementX, 0.008 * event.movementY)}
          onPointerUp={() => stage.current?.hold(false)}
          onDblClick={() => stage.current?.reset()}
        />
      </div>
      <div class="under">
        {said && (
          <ColourBar map={said.of === "phase" ? "cyclic" : "diverging"} low={said.low} high={said.high} unit={said.unit === "1" ? "" : said.unit} label={said.of} />
        )}
        <label class="check grow">
          level
          <input type="range" min={0.05} max={0.95} step={0.05} value={level} onChange={(event) => setLevel(Number(event.currentTarget.value))} />
          <span class="n">{level}</span>
        </label>
        <button type="button" aria-pressed={turning} onClick={() => setTurning(!turning)}>Turn</button>
        <a href={address} download={`${job}-${of}.glb`}>Download the mesh (glb)</a>
      </div>
    </div>
  );
}
