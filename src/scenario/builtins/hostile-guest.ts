// Reference: the pvmemcontrol device of cloud-hypervisor, as recorded (docs/model-limits.md where ours is safer).
export const hostileGuest = `version: 1
title: A guest that does everything wrong
about: |
  Bad ranges, wrapping lengths, unknown functions, registers abused, its own buffer made inaccessible. Each
  has its defined outcome, and nothing else of the machine changes.
machine:
  memory: 1G
steps:
  - info: { id: probe }
  - fill: { gpa: 16M, len: 64K, byte: 0x77, id: start }
  - expect: { probe.errno: 0, start.exit: none, device.state: ready }

  - note: Ranges outside of RAM, across its end, around the end of the address space
  - dontneed: { gpa: 1G, len: 4K, id: outside }
  - expect: { outside.errno: EINVAL, outside.code: 1, hostcalls.total: 0 }
  - dontneed: { gpa: 1G+3G, len: 4K, id: nowhere }
  - expect: { nowhere.errno: EINVAL, hostcalls.total: 0 }
  - dontneed: { gpa: 1020M, len: 8M, id: across }
  - expect: { across.errno: EINVAL, hostcalls.total: 0 }
  - mprotect-none: { gpa: 0xfffffffffffff000, len: 8K, id: wraps }
  - expect: { wraps.errno: EINVAL, hostcalls.total: 0 }
  - dontneed: { gpa: 16M, len: 0xffffffffffffffff, id: endless }
  - expect: { endless.errno: EINVAL, hostcalls.total: 0 }
  - note: An address that is not a page's reaches the host, which refuses it
  - dontneed: { gpa: 16M+1, len: 4K, id: crooked }
  - expect: { crooked.errno: EINVAL, crooked.code: 0 }
  - remove: { gpa: 16M, len: 4K, id: anon }
  - expect: { anon.errno: EINVAL }

  - note: Functions that do not exist, one of them a known code plus 2^32
  - request: { func: 15, gpa: 16M, len: 4K, id: unknown }
  - expect: { unknown.errno: EOPNOTSUPP, unknown.code: 15 }
  - request: { func: 0x100000001, gpa: 16M, len: 4K, id: truncated }
  - expect: { truncated.errno: EOPNOTSUPP, truncated.code: 1 }
  - note: None of this has changed a page
  - verify: { gpa: 16M, len: 64K, byte: 0x77 }
  - expect: { host.rss: { unchanged: start }, slat.zapped: { unchanged: start }, vmas.count: 1 }

  - note: Odd accesses to the registers are dropped
  - mmio.write: { off: 8, size: 8, val: 0x060fe6d2 }
  - mmio.write: { off: 9, size: 4, val: 0x060fe6d2 }
  - mmio.write: { off: 12, size: 4, val: 0x060fe6d2 }
  - mmio.write: { off: 8, size: 4, val: 0x12345678 }
  - note: A doorbell of a connection that does not exist is ignored
  - mmio.write: { off: 8, val: 0xffffffff }
  - expect: { device.state: ready, requests.total: { unchanged: true } }

  - note: The guest registers a buffer of its own and makes it inaccessible
  - mmio.write: { off: 8, val: 0x060fe6d2 }
  - mmio.write: { off: 0, size: 8, val: 0x2000000 }
  - mmio.write: { off: 8, val: 0x0e359539 }
  - mmio.read: { off: 0, as: connection }
  - expect: { device.state: init, connection: 0x80000000 }
  - mmio.write: { off: 8, val: 0x0ca8d227 }
  - expect: { device.state: ready, device.connections: 1 }
  - store: { gpa: 0x2000000, val: 9 }
  - store: { gpa: 0x2000008, val: 0x2000000 }
  - store: { gpa: 0x2000010, val: 0x1000 }
  - store: { gpa: 0x2000018, val: 0 }
  - mmio.write: { off: 8, val: 0x80000000, id: suicide }
  - expect: { suicide.exit: none, hostcalls.mprotect-none: 1 }
  - load: { gpa: 0x2000000, id: locked-out }
  - expect: { locked-out.exit: EFAULT }
  - note: The next doorbell finds no request to read; the VMM lives on
  - mmio.write: { off: 8, val: 0x80000000, id: again }
  - expect: { again.exit: none, hostcalls.mprotect-none: 1 }

  - note: Register after Ready breaks the protocol; a broken device answers ERROR until it is reset
  - mmio.write: { off: 8, val: 0x0e359539 }
  - mmio.read: { off: 8, as: answer }
  - expect: { device.state: broken, device.connections: 0, answer: 0x01fba249 }
  - mmio.write: { off: 8, val: 0x0ca8d227 }
  - expect: { device.state: broken }
  - note: A buffer in a hole breaks it too
  - mmio.write: { off: 8, val: 0x060fe6d2 }
  - expect: { device.state: init }
  - mmio.write: { off: 0, size: 8, val: 0x3ffffff0 }
  - mmio.write: { off: 8, val: 0x0e359539 }
  - expect: { device.state: broken }
  - note: The memory of everybody else is as it was
  - verify: { gpa: 16M, len: 64K, byte: 0x77 }
`;
