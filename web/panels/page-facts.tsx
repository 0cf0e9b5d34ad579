// What the host has behind the selected page: its kind, frame, huge page, file, and who else maps the frame.
// Reference: docs/linux-rules.md (the letters, rules 5, 8 and 9).
import type { ReactNode } from 'react';
import { Button } from 'react-aria-components';
import type { PageBacking, Walk } from '../../src/types.ts';
import type { Theme } from '../draw/palette.ts';
import { bytesText, count, formatAddress, hex } from '../format.ts';
import { LETTERS } from '../model/letters.ts';
import { Swatch } from './swatch.tsx';

export interface PageFactsProps {
  readonly walk: Walk;
  readonly page: PageBacking;
  readonly isPrivate: boolean;
  readonly vms: readonly string[];
  readonly theme: Theme;
  readonly onGoTo: (gpa: bigint, vm: number) => void;
}

const HELD = { paint: 'held', about: 'not mapped, but its huge page still has the frame' } as const;
const UNKNOWN = { paint: 'empty', about: '' } as const;
const PAGE = 4096;
const HUGE_PAGES = 512;
/** A hugetlb page of 1 GiB, which is always mapped whole. */
const GIGANTIC_PAGES = 2 ** 18;
/** Sharers that are listed; a page of KSM has up to 256. */
const SHARERS = 24;

export function PageFacts({ walk, page, isPrivate, vms, theme, onGoTo }: PageFactsProps) {
  const { letter, huge, file } = page;
  const held = huge !== undefined && page.frame === undefined && page.swapSlot === undefined;
  const { paint, about } = held ? HELD : (LETTERS[letter] ?? UNKNOWN);
  const shown = held ? 'u' : letter;
  return (
    <section aria-label="Behind the page">
      <h3>Behind it (host view)</h3>
      <dl className="facts">
        <Fact name="page">
          <Swatch id={paint} letter={shown} theme={theme} /> {about}
        </Fact>
        <Fact name="frame">{frameText(page)}</Fact>
        {huge ? <Fact name="huge page">{hugeText(huge, page.frame)}</Fact> : null}
        {file ? <Fact name="file">{fileText(file, page)}</Fact> : null}
        {page.mappings > 0 ? (
          <Fact name="mapped by">
            {page.mappings === 1 ? 'this entry alone' : `${count(page.mappings)} entries`}
            {page.sharers.length > 0 ? <Sharers sharers={page.sharers} vms={vms} onGoTo={onGoTo} /> : null}
          </Fact>
        ) : null}
        <Fact name="host-virtual">
          {walk.hva === undefined ? 'none' : <code>{formatAddress(walk.hva)}</code>}
        </Fact>
        {isPrivate ? (
          <Fact name="attribute">
            private: the guest sees the slot’s guest_memfd, not what is listed here
          </Fact>
        ) : null}
        <Fact name="memslot">
          {walk.slot ? (
            <>
              slot {walk.slot.id}: <code>{formatAddress(walk.slot.gpa)}</code> +{bytesText(walk.slot.size)} at{' '}
              <code>{formatAddress(walk.slot.hva)}</code>
            </>
          ) : (
            'none: the device window, a hole, or beyond RAM'
          )}
        </Fact>
      </dl>
    </section>
  );
}

function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </>
  );
}

function frameText({ frame, swapSlot, letter }: PageBacking): ReactNode {
  if (frame !== undefined)
    return (
      <>
        <code>{formatAddress(frame)}</code>, frame <code>{hex(frame / BigInt(PAGE))}</code>
      </>
    );
  if (swapSlot !== undefined)
    return (
      <>
        none; in swap slot <code>{hex(swapSlot)}</code>
      </>
    );
  return letter === 'z' || letter === 'Z' ? 'none of its own' : 'none';
}

function hugeText(
  { first, mappedPages, asOne }: NonNullable<PageBacking['huge']>,
  frame: bigint | undefined,
): ReactNode {
  const pages = mappedPages === GIGANTIC_PAGES ? GIGANTIC_PAGES : HUGE_PAGES;
  const left = pages - mappedPages;
  const isPart = frame === undefined || (frame >= first && frame < first + BigInt(pages * PAGE));
  return (
    <>
      {isPart ? '' : 'not of this page, but around it: '}
      {bytesText(pages * PAGE)} at <code>{formatAddress(first)}</code>, mapped by{' '}
      {asOne ? 'one entry' : `${mappedPages} of ${pages} small entries`}
      {left > 0 ? (
        <>
          : <b>{bytesText(mappedPages * PAGE)} mapped</b>, <b>2 MiB held</b>. The other{' '}
          {bytesText(left * PAGE)} come free when it is split or wholly unmapped
        </>
      ) : null}
    </>
  );
}

function fileText(file: NonNullable<PageBacking['file']>, page: PageBacking): ReactNode {
  const own =
    file.frame !== undefined
      ? file.frame === page.frame
        ? 'this is its page'
        : page.frame === undefined
          ? `its page is in frame ${hex(file.frame / BigInt(PAGE))}, mapped by nobody here`
          : `this is a private copy; its own page is in frame ${hex(file.frame / BigInt(PAGE))}: memory twice`
      : file.swapSlot !== undefined
        ? `its page is in swap slot ${hex(file.swapSlot)}`
        : page.frame === undefined
          ? 'a hole'
          : 'private memory of the mapping';
  return (
    <>
      <code>{file.name}</code> at offset <code>{hex(file.offset)}</code>: {own}
    </>
  );
}

function Sharers({
  sharers,
  vms,
  onGoTo,
}: { sharers: PageBacking['sharers'] } & Pick<PageFactsProps, 'vms' | 'onGoTo'>) {
  const several = vms.length > 1;
  return (
    <>
      , also{' '}
      {sharers.slice(0, SHARERS).map(({ vm, gpa }, i) => {
        return (
          <span key={`${vm} ${gpa}`}>
            {i > 0 ? ', ' : ''}
            <Button className="link" onPress={() => onGoTo(gpa, vm)}>
              {several ? `${vms[vm] ?? vm} ` : ''}
              {hex(gpa)}
            </Button>
          </span>
        );
      })}
      {sharers.length > SHARERS ? ` and ${sharers.length - SHARERS} more` : ''}
    </>
  );
}
