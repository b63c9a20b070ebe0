/* crc32c_tables.h: the constant tables of crc32c.c, made by the compiler.
 *
 * What it is: every table of a CRC is linear over GF(2): the entry of a byte is the exclusive or of
 * the entries of its bits. So each table is written as its eight basis entries (those of 1, 2, 4 to
 * 128) and a macro spells out the 256. Polynomial 0x1edc6f41, reflected: 0x82f63b78.
 * SLICEk: a byte that is followed by k zero bytes. LONGk, SHORTk: byte k of a checksum that is
 * followed by 4,096 and 256 zero bytes. The tests compare all with a bitwise reference. What it is
 * not: for use outside crc32c.c. */
#ifndef QV_BASE_CRC32C_TABLES_H
#define QV_BASE_CRC32C_TABLES_H

#include "base/base.h"

#define CRC_BIT(i, b, v) (((i) >> (b)) & 1u ? (v) : 0u)
#define CRC_1(i, a, b, c, d, e, f, g, h)                                                           \
    (CRC_BIT(i, 0, a) ^ CRC_BIT(i, 1, b) ^ CRC_BIT(i, 2, c) ^ CRC_BIT(i, 3, d) ^                   \
     CRC_BIT(i, 4, e) ^ CRC_BIT(i, 5, f) ^ CRC_BIT(i, 6, g) ^ CRC_BIT(i, 7, h))
#define CRC_4(i, ...)                                                                              \
    CRC_1((i), __VA_ARGS__), CRC_1((i) + 1u, __VA_ARGS__), CRC_1((i) + 2u, __VA_ARGS__),           \
        CRC_1((i) + 3u, __VA_ARGS__)
#define CRC_16(i, ...)                                                                             \
    CRC_4((i), __VA_ARGS__), CRC_4((i) + 4u, __VA_ARGS__), CRC_4((i) + 8u, __VA_ARGS__),           \
        CRC_4((i) + 12u, __VA_ARGS__)
#define CRC_64(i, ...)                                                                             \
    CRC_16((i), __VA_ARGS__), CRC_16((i) + 16u, __VA_ARGS__), CRC_16((i) + 32u, __VA_ARGS__),      \
        CRC_16((i) + 48u, __VA_ARGS__)
#define CRC_256(...)                                                                               \
    {                                                                                              \
        CRC_64(0u, __VA_ARGS__), CRC_64(64u, __VA_ARGS__), CRC_64(128u, __VA_ARGS__),              \
            CRC_64(192u, __VA_ARGS__)                                                              \
    }

static const uint32_t crc_slice[8][256] = {
    CRC_256(0xf26b8303, 0xe13b70f7, 0xc79a971f, 0x8ad958cf, 0x105ec76f, 0x20bd8ede, 0x417b1dbc,
            0x82f63b78),
    CRC_256(0x13a29877, 0x274530ee, 0x4e8a61dc, 0x9d14c3b8, 0x3fc5f181, 0x7f8be302, 0xff17c604,
            0xfbc3faf9),
    CRC_256(0xa541927e, 0x4f6f520d, 0x9edea41a, 0x38513ec5, 0x70a27d8a, 0xe144fb14, 0xc76580d9,
            0x8b277743),
    CRC_256(0xdd45aab8, 0xbf672381, 0x7b2231f3, 0xf64463e6, 0xe964b13d, 0xd725148b, 0xaba65fe7,
            0x52a0c93f),
    CRC_256(0x38116fac, 0x7022df58, 0xe045beb0, 0xc5670b91, 0x8f2261d3, 0x1ba8b557, 0x37516aae,
            0x6ea2d55c),
    CRC_256(0xef306b19, 0xdb8ca0c3, 0xb2f53777, 0x6006181f, 0xc00c303e, 0x85f4168d, 0x0e045beb,
            0x1c08b7d6),
    CRC_256(0x68032cc8, 0xd0065990, 0xa5e0c5d1, 0x4e2dfd53, 0x9c5bfaa6, 0x3d5b83bd, 0x7ab7077a,
            0xf56e0ef4),
    CRC_256(0x493c7d27, 0x9278fa4e, 0x211d826d, 0x423b04da, 0x847609b4, 0x0d006599, 0x1a00cb32,
            0x34019664),
};

#define CRC_LONG_BYTES  4096u
#define CRC_SHORT_BYTES 256u

#if defined(__x86_64__) || defined(__aarch64__)
static const uint32_t crc_long[4][256] = {
    CRC_256(0xc2a5b65e, 0x80a71a4d, 0x04a2426b, 0x094484d6, 0x128909ac, 0x25121358, 0x4a2426b0,
            0x94484d60),
    CRC_256(0x2d7cec31, 0x5af9d862, 0xb5f3b0c4, 0x6e0b1779, 0xdc162ef2, 0xbdc02b15, 0x7e6c20db,
            0xfcd841b6),
    CRC_256(0xfc5cf59d, 0xfd559dcb, 0xff474d67, 0xfb62ec3f, 0xf329ae8f, 0xe3bf2bef, 0xc292212f,
            0x80c834af),
    CRC_256(0x047c1faf, 0x08f83f5e, 0x11f07ebc, 0x23e0fd78, 0x47c1faf0, 0x8f83f5e0, 0x1aeb9d31,
            0x35d73a62),
};

static const uint32_t crc_short[4][256] = {
    CRC_256(0xdcb17aa4, 0xbc8e83b9, 0x7cf17183, 0xf9e2e306, 0xf629b0fd, 0xe9bf170b, 0xd69258e7,
            0xa8c8c73f),
    CRC_256(0x547df88f, 0xa8fbf11e, 0x541b94cd, 0xa837299a, 0x558225c5, 0xab044b8a, 0x53e4e1e5,
            0xa7c9c3ca),
    CRC_256(0x4a7ff165, 0x94ffe2ca, 0x2c13b365, 0x582766ca, 0xb04ecd94, 0x6571edd9, 0xcae3dbb2,
            0x902bc195),
    CRC_256(0x25bbf5db, 0x4b77ebb6, 0x96efd76c, 0x2833d829, 0x5067b052, 0xa0cf60a4, 0x4472b7b9,
            0x88e56f72),
};
#endif

#endif
