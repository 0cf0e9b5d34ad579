// Steps in the words of scenario files.
import { type Action, isKvmStep, kvmTitle, sizeText } from '../../src/scenario/index.ts';

/** A step before it is executed. */
export function titleOf(action: Action): string {
  const { vm } = action.args;
  return vm === undefined || action.kind === 'note' ? plain(action) : `${vm}: ${plain(action)}`;
}

function plain({ kind, args }: Action): string {
  if (kind === 'note') return args.note;
  if (kind === 'sample') return `sample ${args.note}`;
  if (kind === 'ksm.scan') return `ksm.scan, ${args.passes} ${args.passes === 1 ? 'pass' : 'passes'}`;
  if (kind === 'expect') return `expect ${args.expect.map(([key]) => key).join(', ')}`;
  if (isKvmStep(kind)) return kvmTitle(kind, args);
  if (kind === 'parallel') return `parallel on ${args.lanes.length} vCPUs`;
  if (kind.startsWith('mmio.')) return `${kind} BAR0+${args.off}`;
  if (kind.startsWith('pci.')) return `${kind} 0x${args.off.toString(16)}`;
  const length = args.len > 0n ? ` +${sizeText(args.len)}` : '';
  return `${kind} ${sizeText(args.gpa)}${length}${args.cpu > 0 ? ` cpu${args.cpu}` : ''}`;
}
