// Program of rows startup-cold and memory-guest: a process that makes one guest and nothing else.
//   node bench/measure/cold.mjs BUILD MEMORY
// It prints one line when the first request is answered, touches 64 MiB of the guest, and prints what it all took.
const [, , build, memory] = process.argv;
const nodeItself = process.memoryUsage.rss();
const { createSandbox } = await import('../../dist/src/index.js');
const vm = await createSandbox({ memory, wasmMemory: build });
const { errno } = vm.guest.pvmemcontrol.info();
if (errno !== 0) throw new Error(`INFO: errno ${errno}`);
console.log('answered');

const untouched = { resident: process.memoryUsage.rss() - nodeItself, metadata: vm.host.metadataBytes() };
vm.guest.touch({ gpa: 256 * 2 ** 20, len: 64 * 2 ** 20, write: true });
const touched = { resident: process.memoryUsage.rss() - nodeItself, metadata: vm.host.metadataBytes() };
console.log(JSON.stringify({ reserved: vm.host.core.memory.buffer.byteLength, untouched, touched }));
