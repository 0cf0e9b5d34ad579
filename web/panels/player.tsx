// Scenario playback: buttons, seek slider, and the steps around the time cursor with what came of them.
// Reference: docs/web.md "Time travel".
import { type CSSProperties, useEffect, useRef } from 'react';
import {
  Button,
  Label,
  ListBox,
  ListBoxItem,
  Popover,
  Select,
  SelectValue,
  Slider,
  SliderOutput,
  SliderThumb,
  SliderTrack,
  Toolbar,
} from 'react-aria-components';
import type { StepResult } from '../../src/scenario/index.ts';
import type { StepInfo } from '../engine/port.ts';
import type { Speed } from '../state.ts';
import { Icon } from './icon.tsx';
import { Rounds } from './rounds.tsx';

export interface PlayerProps {
  readonly step: number;
  readonly wanted: number;
  readonly steps: number;
  readonly playing: boolean;
  readonly speed: Speed;
  readonly onSeek: (step: number) => void;
  readonly onStep: (delta: number) => void;
  readonly onPlay: () => void;
  readonly onSpeed: (speed: Speed) => void;
}

const SPEEDS: readonly Speed[] = [0.5, 1, 2, 4];

export function Player(props: PlayerProps) {
  const { step, wanted, steps, playing, speed, onSeek, onStep, onPlay, onSpeed } = props;
  return (
    <Toolbar aria-label="Playback" className="player">
      <Button
        aria-label="To the start"
        className="to-limit"
        isDisabled={wanted === 0}
        onPress={() => onSeek(0)}
      >
        <Icon name="start" />
      </Button>
      <Button aria-label="Step back" isDisabled={wanted === 0} onPress={() => onStep(-1)}>
        <Icon name="back" />
      </Button>
      <Button aria-label={playing ? 'Pause' : 'Play'} className="play" onPress={onPlay}>
        <Icon name={playing ? 'pause' : 'play'} />
      </Button>
      <Button aria-label="Step forward" isDisabled={wanted >= steps} onPress={() => onStep(1)}>
        <Icon name="forward" />
      </Button>
      <Button
        aria-label="To the end"
        className="to-limit"
        isDisabled={wanted >= steps}
        onPress={() => onSeek(steps)}
      >
        <Icon name="end" />
      </Button>
      <Slider
        className="seek"
        minValue={0}
        maxValue={Math.max(1, steps)}
        value={wanted}
        isDisabled={steps === 0}
        onChange={(value) => onSeek(value as number)}
      >
        <Label className="visually-hidden">Step</Label>
        <SliderTrack className="seek-track">
          {({ state }) => (
            <>
              <div className="seek-done" style={{ width: `${state.getThumbPercent(0) * 100}%` }} />
              <SliderThumb className="seek-thumb" />
            </>
          )}
        </SliderTrack>
        <SliderOutput className="seek-output">
          {step}
          {wanted === step ? '' : ` → ${wanted}`} / {steps}
        </SliderOutput>
      </Slider>
      <Select
        aria-label="Speed"
        className="speed"
        value={String(speed)}
        onChange={(key) => onSpeed(Number(key) as Speed)}
      >
        <Button>
          <SelectValue /> <span aria-hidden="true">▾</span>
        </Button>
        <Popover>
          <ListBox>
            {SPEEDS.map((s) => (
              <ListBoxItem key={s} id={String(s)}>
                {`${s}×`}
              </ListBoxItem>
            ))}
          </ListBox>
        </Popover>
      </Select>
    </Toolbar>
  );
}

export interface StepListProps {
  readonly step: number;
  readonly steps: readonly StepInfo[];
  readonly results: readonly StepResult[];
  readonly onSeek: (step: number) => void;
}

/** Steps shown before and after the time cursor: a scenario may have a hundred thousand. */
const AROUND = 40;
/** A label such as `8[thp].1[32].2`, in characters; longer ones wrap. */
const LABEL_WIDTH = 14;

export function StepList({ step, steps, results, onSeek }: StepListProps) {
  const list = useRef<HTMLOListElement>(null);
  const from = Math.max(0, step - AROUND);
  const shown = steps.slice(from, step + AROUND);
  const longest = Math.max(...shown.map((info) => info.label.length));
  const rounds = results[step - 1]?.rounds;
  const width = { '--label': `${Math.min(LABEL_WIDTH, longest)}ch` } as CSSProperties;

  // biome-ignore lint/correctness/useExhaustiveDependencies: the step is why it scrolls
  useEffect(() => {
    // Only the list itself: scrollIntoView would move the whole page.
    const box = list.current;
    const item = box?.querySelector<HTMLElement>('[aria-current]');
    if (box && item) box.scrollTop = item.offsetTop - box.clientHeight / 2;
  }, [step, steps]);

  return (
    <>
      {step === 0 ? (
        <p className="hint">
          What will the host's RSS be after the next step? Say a number, then press <kbd>.</kbd>
        </p>
      ) : null}
      <ol ref={list} className="steps scroll" aria-label="Steps" style={width}>
        {from > 0 ? <li className="quiet">… {from} before</li> : null}
        {shown.map((info, i) => {
          const index = from + i;
          const result = results[index];
          const done = index < step;
          return (
            <li
              key={index}
              className={done ? 'done' : 'ahead'}
              aria-current={index === step - 1 ? 'step' : undefined}
            >
              <Button className="step" onPress={() => onSeek(index + 1)}>
                <Mark result={result} kind={info.kind} />
                <span className="label">{info.label}</span>
                <span className="what">
                  <b>{info.line ?? result?.title ?? info.title}</b> {result?.text}
                </span>
              </Button>
            </li>
          );
        })}
        {from + shown.length < steps.length ? (
          <li className="quiet">… {steps.length - from - shown.length} after</li>
        ) : null}
      </ol>
      {rounds ? <Rounds rounds={rounds} /> : null}
    </>
  );
}

/** Expectations have a verdict, guest errors a warning; both are words as well as signs. */
function Mark({ result, kind }: { result: StepResult | undefined; kind: string }) {
  if (!result) return <span className="mark">{kind === 'expect' || kind === 'verify' ? '?' : ''}</span>;
  if (result.expectations.length > 0) {
    return result.ok ? (
      <span className="mark good" role="img" aria-label="expectation holds">
        ✓
      </span>
    ) : (
      <span className="mark bad" role="img" aria-label="expectation failed">
        ✗
      </span>
    );
  }
  if (result.fields.ok === false)
    return (
      <span className="mark warn" role="img" aria-label="guest error">
        !
      </span>
    );
  return <span className="mark" />;
}
