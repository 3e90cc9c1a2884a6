//! Calls from JavaScript with no more than a call needs. The only `unsafe` of this crate is here and in `sockets`.
//!
//! napi's own glue tracks what each call borrows and makes handles for every typed array, which costs several times what
//! masking a short row does. The functions here that run per message take their arguments straight from the engine. What
//! they borrow is used while the call runs and never kept.

use std::ffi::CStr;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use napi::bindgen_prelude::{Error, FromNapiValue, Result, Status};
use napi::{JsError, sys};

/// The most arguments a function takes.
const MOST: usize = 8;

/// A function that JavaScript calls often.
pub(crate) trait Function {
    /// Its name in JavaScript.
    const NAME: &'static CStr;

    /// Does the work; an error is thrown.
    fn call(call: &Call) -> Result<f64>;
}

/// The arguments of the call under way.
pub(crate) struct Call<'call> {
    env: sys::napi_env,
    arguments: [sys::napi_value; MOST],
    running: PhantomData<&'call ()>,
}

impl Call<'_> {
    /// The environment of the call.
    pub(crate) fn env(&self) -> sys::napi_env {
        self.env
    }

    pub(crate) fn argument(&self, index: usize) -> sys::napi_value {
        self.arguments.get(index).copied().unwrap_or(ptr::null_mut())
    }

    /// An integer that 32 bits hold. Nothing is rounded or wrapped: a wrong offset would mask the wrong bytes.
    pub(crate) fn integer(&self, index: usize) -> Result<u32> {
        let mut number = f64::NAN;
        // SAFETY: `env` and the argument are those of the call under way; a null argument is refused by its status.
        let status = unsafe { sys::napi_get_value_double(self.env, self.argument(index), &raw mut number) };
        #[expect(clippy::cast_sign_loss, reason = "the cast saturates, and what it changed is refused")]
        let integer = number as u32;
        #[expect(clippy::float_cmp, reason = "an integer is exactly the double it came from")]
        if status == sys::Status::napi_ok && f64::from(integer) == number {
            Ok(integer)
        } else {
            Err(invalid(format!("argument {} is not an integer from 0 to 4294967295", index + 1)))
        }
    }

    pub(crate) fn boolean(&self, index: usize) -> Result<bool> {
        let mut value = false;
        // SAFETY: as in `integer`.
        let status = unsafe { sys::napi_get_value_bool(self.env, self.argument(index), &raw mut value) };
        if status == sys::Status::napi_ok {
            Ok(value)
        } else {
            Err(invalid(format!("argument {} is not a boolean", index + 1)))
        }
    }

    pub(crate) fn bytes(&self, index: usize) -> Result<Bytes<'_>> {
        // SAFETY: `env` and the argument are those of the call under way, which `Bytes` cannot outlive.
        unsafe { Bytes::get(self.env, self.argument(index)) }
    }

    pub(crate) fn counts(&self, index: usize) -> Result<Counts<'_>> {
        // SAFETY: as in `bytes`.
        unsafe { Counts::get(self.env, self.argument(index)) }
    }
}

/// A `Uint8Array` argument, in shared memory or not, borrowed for the call.
pub struct Bytes<'call> {
    data: *mut u8,
    length: usize,
    call: PhantomData<&'call mut [u8]>,
}

/// A `Uint32Array` argument, borrowed for the call.
pub struct Counts<'call> {
    data: *mut u32,
    length: usize,
    call: PhantomData<&'call mut [u32]>,
}

/// Address and number of elements of a typed array of one kind.
///
/// # Safety
/// `env` is that of the call under way on this thread, and `value` null or a value of that call.
unsafe fn typed_array(env: sys::napi_env, value: sys::napi_value, kind: sys::napi_typedarray_type) -> Option<(*mut u8, usize)> {
    let (mut found, mut length, mut data) = (0, 0, ptr::null_mut());
    // SAFETY: as this function's own; null is allowed for what is not asked for, and a null value is refused by its status.
    let status = unsafe {
        sys::napi_get_typedarray_info(
            env,
            value,
            &raw mut found,
            &raw mut length,
            &raw mut data,
            ptr::null_mut(),
            ptr::null_mut(),
        )
    };
    // A detached or empty array may have no address.
    let length = if data.is_null() { 0 } else { length };
    (status == sys::Status::napi_ok && found == kind).then_some((data.cast(), length))
}

impl<'call> Bytes<'call> {
    /// # Safety
    /// As [`typed_array`], and the result must not outlive the call.
    unsafe fn get(env: sys::napi_env, value: sys::napi_value) -> Result<Self> {
        // SAFETY: as this function's own.
        let (data, length) = unsafe { typed_array(env, value, sys::TypedarrayType::uint8_array) }
            .ok_or_else(|| invalid("a Uint8Array is expected for the bytes".to_owned()))?;
        Ok(Self {
            data,
            length,
            call: PhantomData,
        })
    }

    fn span(&self, off: u32, len: u32) -> Result<(*mut u8, usize)> {
        let (start, length) = (off as usize, len as usize);
        if start.checked_add(length).is_none_or(|end| end > self.length) {
            let total = self.length;
            return Err(invalid(format!(
                "offset {off} and length {len} reach past the buffer of {total} bytes"
            )));
        }
        if length == 0 {
            return Ok((ptr::NonNull::dangling().as_ptr(), 0));
        }
        // SAFETY: the engine said that `self.length` bytes lie at `self.data`, and `start` is below that.
        Ok((unsafe { self.data.add(start) }, length))
    }

    /// The bytes of `[off, off+len)`, to read.
    pub(crate) fn read(self, off: u32, len: u32) -> Result<&'call [u8]> {
        let (data, length) = self.span(off, len)?;
        // SAFETY: the span lies in the array, whose memory stays where it is while no JavaScript of this thread runs.
        // Memory shared with other threads has one owner at a time, by the rule of whoever shares it.
        Ok(unsafe { std::slice::from_raw_parts(data, length) })
    }

    /// The bytes of `[off, off+len)`, to change. No function takes two arrays of bytes, so nothing else refers to them.
    pub(crate) fn change(self, off: u32, len: u32) -> Result<&'call mut [u8]> {
        let (data, length) = self.span(off, len)?;
        // SAFETY: as in `read`; and nothing else refers to these bytes: see above, and `with_counts` for counts.
        Ok(unsafe { std::slice::from_raw_parts_mut(data, length) })
    }

    /// The bytes to mask and the counts, once it is certain that both are there and are not the same memory.
    #[expect(clippy::needless_pass_by_value, reason = "the counts are lent once")]
    pub(crate) fn with_counts(
        self,
        off: u32,
        len: u32,
        counts: Counts<'call>,
        needed: usize,
    ) -> Result<(&'call mut [u8], &'call mut [u32])> {
        if counts.length < needed {
            return Err(invalid(format!("counts has {} elements; it takes {needed}", counts.length)));
        }
        let (masked, counted) = (self.data.addr(), counts.data.addr());
        if self.length > 0 && masked < counted + 4 * counts.length && counted < masked + self.length {
            return Err(invalid("counts lies inside the buffer".to_owned()));
        }
        let bytes = self.change(off, len)?;
        let elements = if counts.length == 0 {
            ptr::NonNull::dangling().as_ptr()
        } else {
            counts.data
        };
        // SAFETY: the engine said that so many elements lie at `counts.data` (a typed array is aligned to its elements),
        // they do not overlap the bytes (seen above), and `counts` was taken by value.
        Ok((bytes, unsafe { std::slice::from_raw_parts_mut(elements, counts.length) }))
    }
}

impl<'call> Counts<'call> {
    /// The elements, to write.
    pub(crate) fn write(self) -> &'call mut [u32] {
        if self.length == 0 {
            return &mut [];
        }
        // SAFETY: the engine said that so many elements lie at `self.data`, and `self` was taken by value.
        unsafe { std::slice::from_raw_parts_mut(self.data, self.length) }
    }

    /// # Safety
    /// As [`Bytes::get`].
    unsafe fn get(env: sys::napi_env, value: sys::napi_value) -> Result<Self> {
        // SAFETY: as this function's own.
        let (data, length) = unsafe { typed_array(env, value, sys::TypedarrayType::uint32_array) }
            .ok_or_else(|| invalid("a Uint32Array is expected for the counts".to_owned()))?;
        Ok(Self {
            data: data.cast(),
            length,
            call: PhantomData,
        })
    }
}

/// For functions and methods that napi's own glue calls: it drops its arguments before the call returns.
impl FromNapiValue for Bytes<'_> {
    unsafe fn from_napi_value(env: sys::napi_env, value: sys::napi_value) -> Result<Self> {
        // SAFETY: napi passes those of the call under way.
        unsafe { Self::get(env, value) }
    }
}

impl FromNapiValue for Counts<'_> {
    unsafe fn from_napi_value(env: sys::napi_env, value: sys::napi_value) -> Result<Self> {
        // SAFETY: napi passes those of the call under way.
        unsafe { Self::get(env, value) }
    }
}

/// Adds a function to the addon's exports.
pub(crate) fn export<F: Function>(env: &napi::Env, exports: &napi::bindgen_prelude::Object) -> Result<()> {
    use napi::JsValue;
    let mut function = ptr::null_mut();
    let length = F::NAME.to_bytes().len().cast_signed();
    // SAFETY: the environment and the exports are those that the addon is being loaded with, the name is NUL-terminated,
    // and the engine calls `entry` as it calls every callback: with the environment and information of a call under way.
    let status = unsafe {
        match sys::napi_create_function(
            env.raw(),
            F::NAME.as_ptr(),
            length,
            Some(entry::<F>),
            ptr::null_mut(),
            &raw mut function,
        ) {
            sys::Status::napi_ok => sys::napi_set_named_property(env.raw(), exports.raw(), F::NAME.as_ptr(), function),
            failed => failed,
        }
    };
    if status == sys::Status::napi_ok {
        Ok(())
    } else {
        Err(Error::new(Status::from(status), format!("{:?} could not be exported", F::NAME)))
    }
}

/// # Safety
/// Called by the engine alone.
unsafe extern "C" fn entry<F: Function>(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let mut call = Call {
        env,
        arguments: [ptr::null_mut(); MOST],
        running: PhantomData,
    };
    let mut count = MOST;
    // SAFETY: the engine passes the environment and information of the call; `arguments` holds `count` values, of which
    // those the caller left out are set to undefined; null is allowed for what is not asked for.
    let status = unsafe {
        sys::napi_get_cb_info(
            env,
            info,
            &raw mut count,
            call.arguments.as_mut_ptr(),
            ptr::null_mut(),
            ptr::null_mut(),
        )
    };
    // A panic must not cross into JavaScript: it becomes an Error, and the caller withholds the bytes or denies.
    let outcome = if status == sys::Status::napi_ok {
        catch_unwind(AssertUnwindSafe(|| F::call(&call)))
            .unwrap_or_else(|_| Err(Error::new(Status::GenericFailure, format!("internal error in {:?}", F::NAME))))
    } else {
        Err(Error::new(Status::from(status), format!("{:?} got no arguments", F::NAME)))
    };
    let mut result = ptr::null_mut();
    match outcome {
        // SAFETY: `env` is that of the call under way. Should it fail, null makes `undefined`, which is no length.
        Ok(number) => unsafe {
            sys::napi_create_double(env, number, &raw mut result);
        },
        // SAFETY: `env` is that of the call under way, and no exception is pending: nothing here called JavaScript.
        Err(error) => unsafe { JsError::from(error).throw_into(env) },
    }
    result
}

pub(crate) fn invalid(message: String) -> Error {
    Error::new(Status::InvalidArg, message)
}
