//! Sockets that are read and written by their descriptors, and one poll over all of them.
//!
//! Node makes a call into JavaScript for every read and an object for every write, which together cost as much as all that
//! the gateway does with a small message. Here a turn of the event loop is one call into JavaScript, however many sockets
//! are ready, and a read or a write is a system call and little else.
//!
//! An epoll instance holds the sockets; libuv polls that instance as a single descriptor, so that everything else of Node
//! goes on as before. Each thread that asks has its own.

use std::cell::Cell;
use std::ffi::{CStr, c_int, c_void};
use std::io;
use std::ptr;

use napi::bindgen_prelude::{Error, Result, Status};
use napi::sys;

use crate::call::{Call, Function, invalid};

/// What a socket is watched for, and what it is ready for. As in `index.d.ts`.
const READABLE: u32 = 1;
const WRITABLE: u32 = 2;
/// The most sockets told of at once; the others are ready still in the next turn.
const MOST_EVENTS: usize = 256;

/// `uv_poll_t`, whose layout is libuv's own affair.
#[repr(C)]
struct UvPoll {
    opaque: [u8; 0],
}

const UV_POLL: c_int = 8;
const UV_READABLE: c_int = 1;

type UvPollCallback = unsafe extern "C" fn(*mut UvPoll, c_int, c_int);
type UvCloseCallback = unsafe extern "C" fn(*mut UvPoll);

unsafe extern "C" {
    fn uv_handle_size(kind: c_int) -> usize;
    fn uv_handle_set_data(handle: *mut UvPoll, data: *mut c_void);
    fn uv_handle_get_data(handle: *const UvPoll) -> *mut c_void;
    fn uv_poll_init(uv_loop: *mut sys::uv_loop_s, handle: *mut UvPoll, descriptor: c_int) -> c_int;
    fn uv_poll_start(handle: *mut UvPoll, events: c_int, callback: UvPollCallback) -> c_int;
    fn uv_ref(handle: *mut UvPoll);
    fn uv_unref(handle: *mut UvPoll);
    fn uv_close(handle: *mut UvPoll, callback: UvCloseCallback);
}

/// The poll of one thread, freed when its environment ends.
struct Poll {
    env: sys::napi_env,
    callback: sys::napi_ref,
    context: sys::napi_async_context,
    epoll: c_int,
    /// Memory for a `uv_poll_t`, aligned for any.
    handle: Vec<u128>,
    cleanup: sys::napi_async_cleanup_hook_handle,
}

impl Poll {
    fn uv(&mut self) -> *mut UvPoll {
        self.handle.as_mut_ptr().cast()
    }
}

thread_local! {
    static POLL: Cell<*mut Poll> = const { Cell::new(ptr::null_mut()) };
}

/// Makes the poll of this thread; `callback` is called in each turn of the event loop in which a socket is ready.
pub(crate) struct PollStart;

impl Function for PollStart {
    const NAME: &'static CStr = c"pollStart";

    fn call(call: &Call) -> Result<f64> {
        if !POLL.get().is_null() {
            return Err(invalid("this thread has a poll already".to_owned()));
        }
        // SAFETY: no pointers are passed.
        let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if epoll < 0 {
            return Err(system("epoll_create1"));
        }
        let env = call.env();
        // SAFETY: no pointers are passed.
        let size = unsafe { uv_handle_size(UV_POLL) };
        let mut poll = Box::new(Poll {
            env,
            callback: ptr::null_mut(),
            context: ptr::null_mut(),
            epoll,
            handle: vec![0; size.div_ceil(size_of::<u128>())],
            cleanup: ptr::null_mut(),
        });
        let mut uv_loop = ptr::null_mut();
        let mut name = ptr::null_mut();
        let label = c"SluiceSockets";
        // SAFETY: `env` and the argument are those of the call under way, the other pointers are to live fields and
        // locals. The poll is reached by its address from here on: it is boxed, and freed only after `uv_close`.
        unsafe {
            node(sys::napi_create_reference(env, call.argument(0), 1, &raw mut poll.callback))?;
            node(sys::napi_create_string_utf8(
                env,
                label.as_ptr(),
                label.to_bytes().len().cast_signed(),
                &raw mut name,
            ))?;
            node(sys::napi_async_init(env, ptr::null_mut(), name, &raw mut poll.context))?;
            node(sys::napi_get_uv_event_loop(env, &raw mut uv_loop))?;
            if uv_poll_init(uv_loop, poll.uv(), epoll) != 0 {
                return Err(system("uv_poll_init"));
            }
            let poll = Box::into_raw(poll);
            let handle = (*poll).uv();
            uv_handle_set_data(handle, poll.cast());
            node(sys::napi_add_async_cleanup_hook(
                env,
                Some(end_of_environment),
                poll.cast(),
                &raw mut (*poll).cleanup,
            ))?;
            if uv_poll_start(handle, UV_READABLE, sockets_ready) != 0 {
                return Err(system("uv_poll_start"));
            }
            uv_unref(handle);
            POLL.set(poll);
        }
        Ok(0.0)
    }
}

/// Whether the poll keeps the event loop going: as long as there are sockets in it.
pub(crate) struct PollKeep;

impl Function for PollKeep {
    const NAME: &'static CStr = c"pollKeep";

    fn call(call: &Call) -> Result<f64> {
        let keep = call.boolean(0)?;
        let poll = this_threads_poll()?;
        // SAFETY: the poll lives until its environment ends, which clears the thread's pointer first.
        unsafe { if keep { uv_ref((*poll).uv()) } else { uv_unref((*poll).uv()) } };
        Ok(0.0)
    }
}

/// Watches a socket for what `interest` says, under a token; 0 takes it out.
pub(crate) struct PollSet;

impl Function for PollSet {
    const NAME: &'static CStr = c"pollSet";

    fn call(call: &Call) -> Result<f64> {
        let (socket, token, interest) = (descriptor(call, 0)?, call.integer(1)?, call.integer(2)?);
        let mut event = libc::epoll_event {
            events: 0,
            u64: u64::from(token),
        };
        if interest & READABLE != 0 {
            event.events |= libc::EPOLLIN.cast_unsigned();
        }
        if interest & WRITABLE != 0 {
            event.events |= libc::EPOLLOUT.cast_unsigned();
        }
        // SAFETY: see `PollKeep`.
        let epoll = unsafe { (*this_threads_poll()?).epoll };
        // A socket that waits for nothing leaves: epoll would go on telling of hang-ups that nobody can act on.
        // SAFETY: `event` lives through the call.
        let mut control = |operation| unsafe { libc::epoll_ctl(epoll, operation, socket, &raw mut event) };
        let done = if interest == 0 {
            control(libc::EPOLL_CTL_DEL)
        } else if control(libc::EPOLL_CTL_MOD) == 0 {
            0
        } else {
            control(libc::EPOLL_CTL_ADD)
        };
        if done == 0 || (interest == 0 && io::Error::last_os_error().raw_os_error() == Some(libc::ENOENT)) {
            Ok(0.0)
        } else {
            Err(system("epoll_ctl"))
        }
    }
}

/// Which sockets are ready now: fills `events` with pairs of token and readiness, and returns how many.
pub(crate) struct PollWait;

impl Function for PollWait {
    const NAME: &'static CStr = c"pollWait";

    fn call(call: &Call) -> Result<f64> {
        let told = call.counts(0)?.write();
        // SAFETY: see `PollKeep`.
        let epoll = unsafe { (*this_threads_poll()?).epoll };
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; MOST_EVENTS];
        let most = c_int::try_from(MOST_EVENTS.min(told.len() / 2)).unwrap_or(0);
        if most == 0 {
            return Err(invalid("events takes no pair".to_owned()));
        }
        // SAFETY: `events` has room for `most`; with a timeout of 0 the call returns at once.
        let count = unsafe { libc::epoll_wait(epoll, events.as_mut_ptr(), most, 0) };
        let Ok(count) = usize::try_from(count) else {
            return Ok(0.0);
        };
        for (pair, event) in told.chunks_exact_mut(2).zip(events.iter().take(count)) {
            let flags = event.events.cast_signed();
            // Errors and hang-ups show themselves to whoever reads or writes.
            let broken = flags & (libc::EPOLLERR | libc::EPOLLHUP) != 0;
            let mut ready = 0;
            if broken || flags & libc::EPOLLIN != 0 {
                ready |= READABLE;
            }
            if broken || flags & libc::EPOLLOUT != 0 {
                ready |= WRITABLE;
            }
            if let [token, readiness] = pair {
                *token = event.u64 as u32;
                *readiness = ready;
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "at most 256")]
        Ok(count as f64)
    }
}

/// A second descriptor of the same connection, which lives on when the first is closed.
pub(crate) struct SocketDuplicate;

impl Function for SocketDuplicate {
    const NAME: &'static CStr = c"socketDuplicate";

    fn call(call: &Call) -> Result<f64> {
        let socket = descriptor(call, 0)?;
        // SAFETY: no pointers are passed.
        Ok(outcome(|| unsafe { libc::fcntl(socket, libc::F_DUPFD_CLOEXEC, 0) } as isize))
    }
}

/// Reads into `[off, off+len)`: bytes read, 0 at the end, or a negative errno.
pub(crate) struct SocketRead;

impl Function for SocketRead {
    const NAME: &'static CStr = c"socketRead";

    fn call(call: &Call) -> Result<f64> {
        let (socket, off, len) = (descriptor(call, 0)?, call.integer(2)?, call.integer(3)?);
        let room = call.bytes(1)?.change(off, len)?;
        // SAFETY: `room` is that long and lent for the call.
        Ok(outcome(|| unsafe {
            libc::recv(socket, room.as_mut_ptr().cast(), room.len(), libc::MSG_DONTWAIT)
        }))
    }
}

/// Writes `[off, off+len)` as far as the system takes it at once: bytes written, or a negative errno.
pub(crate) struct SocketWrite;

impl Function for SocketWrite {
    const NAME: &'static CStr = c"socketWrite";

    fn call(call: &Call) -> Result<f64> {
        let (socket, off, len) = (descriptor(call, 0)?, call.integer(2)?, call.integer(3)?);
        let bytes = call.bytes(1)?.read(off, len)?;
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        // SAFETY: `bytes` are that many and lent for the call.
        Ok(outcome(|| unsafe { libc::send(socket, bytes.as_ptr().cast(), bytes.len(), flags) }))
    }
}

/// Ends our side of the connection; what was written before is still delivered.
pub(crate) struct SocketFinish;

impl Function for SocketFinish {
    const NAME: &'static CStr = c"socketFinish";

    fn call(call: &Call) -> Result<f64> {
        let socket = descriptor(call, 0)?;
        // SAFETY: no pointers are passed.
        Ok(outcome(|| unsafe { libc::shutdown(socket, libc::SHUT_WR) } as isize))
    }
}

/// Closes the descriptor, which also takes it out of the poll. It must not be used again.
pub(crate) struct SocketClose;

impl Function for SocketClose {
    const NAME: &'static CStr = c"socketClose";

    fn call(call: &Call) -> Result<f64> {
        let socket = descriptor(call, 0)?;
        // SAFETY: no pointers are passed. Not repeated when interrupted: Linux has let go of it all the same.
        let done = unsafe { libc::close(socket) };
        Ok(f64::from(done))
    }
}

/// libuv found the epoll instance readable, which means that some socket is ready.
unsafe extern "C" fn sockets_ready(handle: *mut UvPoll, _status: c_int, _events: c_int) {
    // SAFETY: libuv calls this on the thread of the loop with the handle it was started with, whose data is the poll, and
    // not after `uv_close`. The scope holds the values made here.
    unsafe {
        let poll = uv_handle_get_data(handle).cast::<Poll>();
        let (env, context) = ((*poll).env, (*poll).context);
        let mut scope = ptr::null_mut();
        if sys::napi_open_handle_scope(env, &raw mut scope) != sys::Status::napi_ok {
            return;
        }
        let (mut callback, mut global, mut ignored) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
        if sys::napi_get_reference_value(env, (*poll).callback, &raw mut callback) == sys::Status::napi_ok
            && sys::napi_get_global(env, &raw mut global) == sys::Status::napi_ok
            && sys::napi_make_callback(env, context, global, callback, 0, ptr::null(), &raw mut ignored)
                == sys::Status::napi_pending_exception
        {
            let mut exception = ptr::null_mut();
            if sys::napi_get_and_clear_last_exception(env, &raw mut exception) == sys::Status::napi_ok {
                sys::napi_fatal_exception(env, exception);
            }
        }
        sys::napi_close_handle_scope(env, scope);
    }
}

/// The environment ends: the handle is closed before the loop is.
unsafe extern "C" fn end_of_environment(_hook: sys::napi_async_cleanup_hook_handle, data: *mut c_void) {
    POLL.set(ptr::null_mut());
    // SAFETY: `data` is the poll that the hook was added with, which nothing has freed: that is what happens next.
    unsafe { uv_close((*data.cast::<Poll>()).uv(), closed) };
}

unsafe extern "C" fn closed(handle: *mut UvPoll) {
    // SAFETY: libuv is done with the handle, and its data is the poll, which was boxed.
    unsafe {
        let poll = Box::from_raw(uv_handle_get_data(handle).cast::<Poll>());
        libc::close(poll.epoll);
        sys::napi_remove_async_cleanup_hook(poll.cleanup);
    }
}

fn this_threads_poll() -> Result<*mut Poll> {
    let poll = POLL.get();
    if poll.is_null() {
        Err(invalid("this thread has no poll".to_owned()))
    } else {
        Ok(poll)
    }
}

fn descriptor(call: &Call, index: usize) -> Result<c_int> {
    c_int::try_from(call.integer(index)?).map_err(|_| invalid(format!("argument {} is not a descriptor", index + 1)))
}

/// What a system call returned, or its errno as a negative number. Repeated when a signal interrupted it.
fn outcome(mut call: impl FnMut() -> isize) -> f64 {
    loop {
        let returned = call();
        if returned >= 0 {
            #[expect(clippy::cast_precision_loss, reason = "lengths are below 2^32")]
            return returned as f64;
        }
        let errno = io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO);
        if errno != libc::EINTR {
            return f64::from(-errno);
        }
    }
}

fn node(status: sys::napi_status) -> Result<()> {
    if status == sys::Status::napi_ok {
        Ok(())
    } else {
        Err(Error::new(Status::from(status), "the poll could not be set up".to_owned()))
    }
}

fn system(what: &str) -> Error {
    Error::new(Status::GenericFailure, format!("{what}: {}", io::Error::last_os_error()))
}
