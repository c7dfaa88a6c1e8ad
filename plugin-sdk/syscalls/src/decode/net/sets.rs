//! Names in calls on sockets (bits/socket.h, asm-generic/socket.h and those that are named).

use crate::decode::schema::sets;

sets! {
    /// Families of addresses (bits/socket.h).
    AF "AF_???" {
        AF_UNSPEC = 0, AF_UNIX = 1, AF_INET = 2, AF_AX25 = 3, AF_IPX = 4, AF_APPLETALK = 5,
        AF_NETROM = 6, AF_BRIDGE = 7, AF_ATMPVC = 8, AF_X25 = 9, AF_INET6 = 10, AF_ROSE = 11,
        AF_DECnet = 12, AF_NETBEUI = 13, AF_SECURITY = 14, AF_KEY = 15, AF_NETLINK = 16,
        AF_PACKET = 17, AF_ASH = 18, AF_ECONET = 19, AF_ATMSVC = 20, AF_RDS = 21, AF_SNA = 22,
        AF_IRDA = 23, AF_PPPOX = 24, AF_WANPIPE = 25, AF_LLC = 26, AF_IB = 27, AF_MPLS = 28,
        AF_CAN = 29, AF_TIPC = 30, AF_BLUETOOTH = 31, AF_IUCV = 32, AF_RXRPC = 33, AF_ISDN = 34,
        AF_PHONET = 35, AF_IEEE802154 = 36, AF_CAIF = 37, AF_ALG = 38, AF_NFC = 39,
        AF_VSOCK = 40, AF_KCM = 41, AF_QIPCRTR = 42, AF_SMC = 43, AF_XDP = 44, AF_MCTP = 45,
    }
    /// Types of sockets without flags.
    SOCK_TYPE "" {
        SOCK_STREAM = 1, SOCK_DGRAM = 2, SOCK_RAW = 3, SOCK_RDM = 4, SOCK_SEQPACKET = 5,
        SOCK_DCCP = 6, SOCK_PACKET = 10,
    }
    /// A type that is known, and flags.
    SOCK "SOCK_???" as Parts first(0xf => SOCK_TYPE) { SOCK_CLOEXEC = 0o2000000, SOCK_NONBLOCK = 0o4000 }
    /// Flags (accept4(2)).
    SOCK_FLAGS "SOCK_???" { SOCK_CLOEXEC = 0o2000000, SOCK_NONBLOCK = 0o4000 }
    /// ip(7), linux/in.h, linux/in6.h
    IPPROTO "IPPROTO_???" {
        IPPROTO_IP = 0, IPPROTO_ICMP = 1, IPPROTO_IGMP = 2, IPPROTO_IPIP = 4, IPPROTO_TCP = 6,
        IPPROTO_EGP = 8, IPPROTO_PUP = 12, IPPROTO_UDP = 0x11, IPPROTO_IDP = 0x16,
        IPPROTO_TP = 0x1d, IPPROTO_DCCP = 0x21, IPPROTO_IPV6 = 0x29, IPPROTO_ROUTING = 0x2b,
        IPPROTO_FRAGMENT = 0x2c, IPPROTO_RSVP = 0x2e, IPPROTO_GRE = 0x2f, IPPROTO_ESP = 0x32,
        IPPROTO_AH = 0x33, IPPROTO_ICMPV6 = 0x3a, IPPROTO_NONE = 0x3b, IPPROTO_DSTOPTS = 0x3c,
        IPPROTO_MTP = 0x5c, IPPROTO_BEETPH = 0x5e, IPPROTO_ENCAP = 0x62, IPPROTO_PIM = 0x67,
        IPPROTO_COMP = 0x6c, IPPROTO_L2TP = 0x73, IPPROTO_SCTP = 0x84, IPPROTO_MH = 0x87,
        IPPROTO_UDPLITE = 0x88, IPPROTO_MPLS = 0x89, IPPROTO_ETHERNET = 0x8f, IPPROTO_RAW = 0xff,
        IPPROTO_MPTCP = 0x106,
    }
    /// netlink(7), linux/netlink.h
    NETLINK "NETLINK_???" {
        NETLINK_ROUTE = 0, NETLINK_UNUSED = 1, NETLINK_USERSOCK = 2, NETLINK_FIREWALL = 3,
        NETLINK_SOCK_DIAG = 4, NETLINK_NFLOG = 5, NETLINK_XFRM = 6, NETLINK_SELINUX = 7,
        NETLINK_ISCSI = 8, NETLINK_AUDIT = 9, NETLINK_FIB_LOOKUP = 10, NETLINK_CONNECTOR = 11,
        NETLINK_NETFILTER = 12, NETLINK_IP6_FW = 13, NETLINK_DNRTMSG = 14,
        NETLINK_KOBJECT_UEVENT = 15, NETLINK_GENERIC = 16, NETLINK_SCSITRANSPORT = 18,
        NETLINK_ECRYPTFS = 19, NETLINK_RDMA = 20, NETLINK_CRYPTO = 21, NETLINK_SMC = 22,
    }
    /// net/bluetooth/bluetooth.h
    BTPROTO "BTPROTO_???" {
        BTPROTO_L2CAP = 0, BTPROTO_HCI = 1, BTPROTO_SCO = 2, BTPROTO_RFCOMM = 3,
        BTPROTO_BNEP = 4, BTPROTO_CMTP = 5, BTPROTO_HIDP = 6, BTPROTO_AVDTP = 7,
    }
    /// linux/can.h
    CAN "CAN_???" {
        CAN_RAW = 1, CAN_BCM = 2, CAN_TP16 = 3, CAN_TP20 = 4, CAN_MCNET = 5, CAN_ISOTP = 6,
        CAN_J1939 = 7,
    }
    /// linux/caif/caif_socket.h
    CAIFPROTO "CAIFPROTO_???" {
        CAIFPROTO_AT = 0, CAIFPROTO_DATAGRAM = 1, CAIFPROTO_DATAGRAM_LOOP = 2,
        CAIFPROTO_UTIL = 3, CAIFPROTO_RFM = 4, CAIFPROTO_DEBUG = 5,
    }
    /// linux/nfc.h
    NFC_SOCKPROTO "NFC_SOCKPROTO_???" { NFC_SOCKPROTO_RAW = 0, NFC_SOCKPROTO_LLCP = 1 }
    /// linux/kcm.h
    KCMPROTO "KCMPROTO_???" { KCMPROTO_CONNECTED = 0 }
    /// net/smc/smc.h
    SMCPROTO "SMCPROTO_???" { SMCPROTO_SMC = 0, SMCPROTO_SMC6 = 1 }
    /// linux/phonet.h
    PN_PROTO "PN_PROTO_???" { PN_PROTO_TRANSPORT = 0, PN_PROTO_PHONET = 1, PN_PROTO_PIPE = 2 }
    /// linux/isdn/mISDNif.h
    ISDN_P "ISDN_P_???" {
        ISDN_P_BASE = 0, ISDN_P_TE_S0 = 1, ISDN_P_NT_S0 = 2, ISDN_P_TE_E1 = 3, ISDN_P_NT_E1 = 4,
    }
    /// The kernel has no such sockets any more.
    IRDAPROTO "IRDAPROTO_???" {}
    /// linux/ax25.h: there are none.
    AX25_P "AX25_P_???" {}
    /// shutdown(2)
    SHUT "SHUT_???" { SHUT_RD = 0, SHUT_WR = 1, SHUT_RDWR = 2 }
    /// send(2), recv(2), linux/socket.h
    MSG "MSG_???" {
        MSG_OOB = 0x1, MSG_PEEK = 0x2, MSG_DONTROUTE = 0x4, MSG_CTRUNC = 0x8, MSG_PROBE = 0x10,
        MSG_TRUNC = 0x20, MSG_DONTWAIT = 0x40, MSG_EOR = 0x80, MSG_WAITALL = 0x100,
        MSG_FIN = 0x200, MSG_SYN = 0x400, MSG_CONFIRM = 0x800, MSG_RST = 0x1000,
        MSG_ERRQUEUE = 0x2000, MSG_NOSIGNAL = 0x4000, MSG_MORE = 0x8000,
        MSG_WAITFORONE = 0x10000, MSG_SENDPAGE_NOTLAST = 0x20000, MSG_BATCH = 0x40000,
        MSG_NO_SHARED_FRAGS = 0x80000, MSG_ZEROCOPY = 0x400_0000, MSG_FASTOPEN = 0x2000_0000,
        MSG_CMSG_CLOEXEC = 0x4000_0000, MSG_CMSG_COMPAT = 0x8000_0000,
    }
    /// Levels of options.
    SOL "SOL_??" {
        SOL_IP = 0, SOL_SOCKET = 1, SOL_TCP = 6, SOL_UDP = 17, AF_VSOCK = 40, SOL_IPV6 = 41,
        SOL_ICMPV6 = 58, SOL_CAN_BASE = 100, SOL_CAN_RAW = 101, SOL_SCTP = 132,
        SOL_UDPLITE = 136, SOL_RAW = 255, SOL_IPX = 256, SOL_AX25 = 257, SOL_ATALK = 258,
        SOL_NETROM = 259, SOL_ROSE = 260, SOL_DECNET = 261, SOL_X25 = 262, SOL_PACKET = 263,
        SOL_ATM = 264, SOL_AAL = 265, SOL_IRDA = 266, SOL_NETBEUI = 267, SOL_LLC = 268,
        SOL_DCCP = 269, SOL_NETLINK = 270, SOL_TIPC = 271, SOL_RXRPC = 272, SOL_PPPOL2TP = 273,
        SOL_BLUETOOTH = 274, SOL_PNPIPE = 275, SOL_RDS = 276, SOL_IUCV = 277, SOL_CAIF = 278,
        SOL_ALG = 279, SOL_NFC = 280, SOL_KCM = 281, SOL_TLS = 282, SOL_XDP = 283,
    }
    /// The same of control messages.
    SOL_OF_CONTROL "SOL_???" and(SOL) {}
    /// socketcall(2), linux/net.h
    SOCKETCALL "SYS_???" as Decimal {
        SYS_SOCKET = 1, SYS_BIND = 2, SYS_CONNECT = 3, SYS_LISTEN = 4, SYS_ACCEPT = 5,
        SYS_GETSOCKNAME = 6, SYS_GETPEERNAME = 7, SYS_SOCKETPAIR = 8, SYS_SEND = 9,
        SYS_RECV = 10, SYS_SENDTO = 11, SYS_RECVFROM = 12, SYS_SHUTDOWN = 13,
        SYS_SETSOCKOPT = 14, SYS_GETSOCKOPT = 15, SYS_SENDMSG = 16, SYS_RECVMSG = 17,
        SYS_ACCEPT4 = 18, SYS_RECVMMSG = 19, SYS_SENDMMSG = 20,
    }
}
