// Name, scenario, VM, link, keys, theme.
import { useState } from 'react';
import {
  Button,
  Label,
  ListBox,
  ListBoxItem,
  Popover,
  Select,
  SelectValue,
  Text,
} from 'react-aria-components';
import type { Machine, ScenarioInfo } from '../engine/port.ts';
import { bytesText } from '../format.ts';
import type { ThemeChoice } from '../theme.ts';

export interface TopBarProps {
  readonly scenarios: readonly ScenarioInfo[];
  readonly scenario: ScenarioInfo | undefined;
  readonly vms: readonly Machine[];
  readonly vm: number;
  readonly onVm: (vm: number) => void;
  readonly themeChoice: ThemeChoice;
  readonly onTheme: (choice: ThemeChoice) => void;
  readonly onOpen: (name: string) => void;
  readonly onKeys: () => void;
}

const NEXT: Readonly<Record<ThemeChoice, ThemeChoice>> = { system: 'light', light: 'dark', dark: 'system' };
const SIGN: Readonly<Record<ThemeChoice, string>> = { system: '◐', light: '☀', dark: '☾' };

export function TopBar(props: TopBarProps) {
  const { scenarios, scenario, vms, vm, onVm, themeChoice, onTheme, onOpen, onKeys } = props;
  return (
    <header className="top">
      <h1>slatbox</h1>
      <Select className="scenario" value={scenario?.name ?? null} onChange={(key) => onOpen(String(key))}>
        <Label>Scenario</Label>
        <Button>
          <SelectValue>{() => scenario?.name ?? 'choose'}</SelectValue> <span aria-hidden="true">▾</span>
        </Button>
        <Popover>
          <ListBox>
            {scenarios.map((s) => (
              <ListBoxItem key={s.name} id={s.name} textValue={s.name} className="choice">
                <Text slot="label">{s.name}</Text>
                <Text slot="description">{s.about}</Text>
              </ListBoxItem>
            ))}
          </ListBox>
        </Popover>
      </Select>
      {vms.length > 1 ? <VmSelect vms={vms} vm={vm} onVm={onVm} /> : null}
      <span className="grow" />
      <CopyLink />
      <Button onPress={onKeys} aria-label="Keys">
        <kbd>?</kbd> keys
      </Button>
      <Button onPress={() => onTheme(NEXT[themeChoice])} aria-label={`Theme: ${themeChoice}`}>
        {SIGN[themeChoice]} {themeChoice}
      </Button>
    </header>
  );
}

/** Whose memory the panels show. */
function VmSelect({ vms, vm, onVm }: Pick<TopBarProps, 'vms' | 'vm' | 'onVm'>) {
  return (
    <Select className="scenario" value={String(vm)} onChange={(key) => onVm(Number(key))}>
      <Label>VM</Label>
      <Button>
        <SelectValue>{() => vms[vm]?.name}</SelectValue> <span aria-hidden="true">▾</span>
      </Button>
      <Popover>
        <ListBox>
          {vms.map((m, i) => (
            <ListBoxItem key={m.name} id={String(i)} textValue={m.name} className="choice">
              <Text slot="label">{m.name}</Text>
              <Text slot="description">
                {bytesText(m.ram.reduce((sum, r) => sum + r.size, 0))} of {m.backing}
              </Text>
            </ListBoxItem>
          ))}
        </ListBox>
      </Popover>
    </Select>
  );
}

/** The address bar always has the link; this only saves a trip there. */
function CopyLink() {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(window.location.href);
      setCopied(true);
      setTimeout(() => setCopied(false), 1500);
    } catch {
      // No clipboard without permission or a secure context: select the address instead.
      window.prompt('The link to this place', window.location.href);
    }
  };
  return <Button onPress={() => void copy()}>{copied ? 'copied' : 'copy link'}</Button>;
}
