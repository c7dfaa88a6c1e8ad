//! Names in calls that wait.

use crate::decode::schema::sets;

sets! {
    /// asm-generic/poll.h
    POLL "POLL???" {
        POLLIN = 0x1, POLLPRI = 0x2, POLLOUT = 0x4, POLLERR = 0x8, POLLHUP = 0x10,
        POLLNVAL = 0x20, POLLRDNORM = 0x40, POLLRDBAND = 0x80, POLLWRNORM = 0x100,
        POLLWRBAND = 0x200, POLLMSG = 0x400, POLLREMOVE = 0x1000, POLLRDHUP = 0x2000,
        POLL_BUSY_LOOP = 0x8000,
    }
    /// epoll_ctl(2), linux/eventpoll.h
    EPOLL "EPOLL???" {
        EPOLLIN = 0x1, EPOLLPRI = 0x2, EPOLLOUT = 0x4, EPOLLERR = 0x8, EPOLLHUP = 0x10,
        EPOLLNVAL = 0x20, EPOLLRDNORM = 0x40, EPOLLRDBAND = 0x80, EPOLLWRNORM = 0x100,
        EPOLLWRBAND = 0x200, EPOLLMSG = 0x400, EPOLLRDHUP = 0x2000, EPOLLEXCLUSIVE = 1 << 28,
        EPOLLWAKEUP = 1 << 29, EPOLLONESHOT = 1 << 30, EPOLLET = 1 << 31,
    }
    /// epoll_ctl(2)
    EPOLL_CTL "EPOLL_CTL_???" { EPOLL_CTL_ADD = 1, EPOLL_CTL_DEL = 2, EPOLL_CTL_MOD = 3 }
    /// epoll_create1(2)
    EPOLL_CLOEXEC "EPOLL_???" { EPOLL_CLOEXEC = 0o2000000 }
    /// eventfd2(2), linux/eventfd.h
    EFD "EFD_???" { EFD_SEMAPHORE = 1, EFD_CLOEXEC = 0o2000000, EFD_NONBLOCK = 0o4000 }
    /// signalfd4(2)
    SFD "SFD_???" { SFD_CLOEXEC = 0o2000000, SFD_NONBLOCK = 0o4000 }
    /// timerfd_create(2), linux/timerfd.h
    TFD "TFD_???" {
        TFD_TIMER_ABSTIME = 1, TFD_TIMER_CANCEL_ON_SET = 2, TFD_CLOEXEC = 0o2000000,
        TFD_NONBLOCK = 0o4000,
    }
}
