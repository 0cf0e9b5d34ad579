// Linux errno values that a request, a host call or an ioctl can answer with.
// Reference: linux include/uapi/asm-generic/errno-base.h, errno.h
export enum Errno {
  OK = 0,
  EPERM = 1,
  ENXIO = 6,
  EBADF = 9,
  EAGAIN = 11,
  ENOMEM = 12,
  EACCES = 13,
  EFAULT = 14,
  EEXIST = 17,
  ENODEV = 19,
  EINVAL = 22,
  EMFILE = 24,
  EFBIG = 27,
  ESPIPE = 29,
  EOVERFLOW = 75,
  EOPNOTSUPP = 95,
}
