//! How each primitive, string, array and nullable value is laid out. Knows nothing of structs,
//! which the derive takes care of.

use bytes::Bytes;

use super::schema::Type;
use super::{Reader, Records, Version, Wire, WireError, Writer};
use crate::ids::Uuid;

macro_rules! fixed {
    ($($ty:ident $kind:ident),*) => {$(
        impl Wire for $ty {
            const TYPE: Type = Type::$kind;
            const MIN_BYTES: usize = size_of::<$ty>();

            #[inline]
            fn read(r: &mut Reader, _: Version) -> Result<Self, WireError> {
                r.$ty()
            }

            #[inline]
            fn write(&self, w: &mut Writer, _: Version) -> Result<(), WireError> {
                w.$ty(*self);
                Ok(())
            }
        }
    )*};
}

fixed!(i8 Int8, i16 Int16, u16 Uint16, i32 Int32, i64 Int64, f64 Float64);

impl Wire for bool {
    const TYPE: Type = Type::Bool;
    const MIN_BYTES: usize = 1;

    fn read(r: &mut Reader, _: Version) -> Result<Self, WireError> {
        Ok(r.i8()? != 0)
    }

    fn write(&self, w: &mut Writer, _: Version) -> Result<(), WireError> {
        w.i8(*self as i8);
        Ok(())
    }
}

impl Wire for Uuid {
    const TYPE: Type = Type::Uuid;
    const MIN_BYTES: usize = 16;

    fn read(r: &mut Reader, _: Version) -> Result<Self, WireError> {
        r.bytes16().map(Uuid)
    }

    fn write(&self, w: &mut Writer, _: Version) -> Result<(), WireError> {
        w.raw(&self.0);
        Ok(())
    }
}

/// The parts that every type with a length has in common: a value is a nullable value that is
/// there.
macro_rules! value_from_nullable {
    () => {
        fn read(r: &mut Reader, v: Version) -> Result<Self, WireError> {
            Self::read_nullable(r, v)?.ok_or(WireError::Null)
        }

        fn write(&self, w: &mut Writer, v: Version) -> Result<(), WireError> {
            Self::write_nullable(Some(self), w, v)
        }
    };
}

impl Wire for String {
    const TYPE: Type = Type::String;
    const MIN_BYTES: usize = 1;

    value_from_nullable!();

    fn read_nullable(r: &mut Reader, v: Version) -> Result<Option<Self>, WireError> {
        match r.string_len(v)? {
            Some(len) => r.string(len).map(Some),
            None => Ok(None),
        }
    }

    fn write_nullable(value: Option<&Self>, w: &mut Writer, v: Version) -> Result<(), WireError> {
        w.string_len(value.map(String::len), v)?;
        w.raw(value.map_or(&[], |text| text.as_bytes()));
        Ok(())
    }
}

impl Wire for Bytes {
    const TYPE: Type = Type::Bytes;
    const MIN_BYTES: usize = 1;

    value_from_nullable!();

    fn read_nullable(r: &mut Reader, v: Version) -> Result<Option<Self>, WireError> {
        match r.len(v)? {
            Some(len) => r.slice(len).map(Some),
            None => Ok(None),
        }
    }

    fn write_nullable(value: Option<&Self>, w: &mut Writer, v: Version) -> Result<(), WireError> {
        w.length(value.map(Bytes::len), v)?;
        if let Some(bytes) = value {
            w.shared(bytes);
        }
        Ok(())
    }
}

impl Wire for Records {
    const TYPE: Type = Type::Records;
    const MIN_BYTES: usize = 1;

    value_from_nullable!();

    fn read_nullable(r: &mut Reader, v: Version) -> Result<Option<Self>, WireError> {
        Ok(Bytes::read_nullable(r, v)?.map(Records::Bytes))
    }

    fn write_nullable(value: Option<&Self>, w: &mut Writer, v: Version) -> Result<(), WireError> {
        w.length(value.map(Records::len), v)?;
        if let Some(records) = value {
            w.records(records);
        }
        Ok(())
    }
}

impl<T: Wire> Wire for Vec<T> {
    const TYPE: Type = Type::Array(&T::TYPE);
    const MIN_BYTES: usize = 1;

    value_from_nullable!();

    fn read_nullable(r: &mut Reader, v: Version) -> Result<Option<Self>, WireError> {
        let Some(count) = r.len(v)? else { return Ok(None) };
        let mut values = r.reserve(count, T::MIN_BYTES)?;
        for _ in 0..count {
            values.push(T::read(r, v)?);
        }
        Ok(Some(values))
    }

    fn write_nullable(value: Option<&Self>, w: &mut Writer, v: Version) -> Result<(), WireError> {
        w.length(value.map(Vec::len), v)?;
        for element in value.into_iter().flatten() {
            element.write(w, v)?;
        }
        Ok(())
    }
}

impl<T: Wire> Wire for Option<T> {
    const TYPE: Type = T::TYPE;
    const MIN_BYTES: usize = 1;

    fn read(r: &mut Reader, v: Version) -> Result<Self, WireError> {
        T::read_nullable(r, v)
    }

    fn write(&self, w: &mut Writer, v: Version) -> Result<(), WireError> {
        T::write_nullable(self.as_ref(), w, v)
    }
}

/// For a field that is nullable in some of its versions only: null elsewhere is an error.
pub fn read_nullable_if<T: Wire>(
    nullable: bool,
    r: &mut Reader,
    v: Version,
) -> Result<Option<T>, WireError> {
    if nullable { T::read_nullable(r, v) } else { T::read(r, v).map(Some) }
}

/// As [`read_nullable_if`], the other way.
pub fn write_nullable_if<T: Wire>(
    value: &Option<T>,
    nullable: bool,
    w: &mut Writer,
    v: Version,
) -> Result<(), WireError> {
    match value {
        Some(value) if !nullable => value.write(w, v),
        None if !nullable => Err(WireError::Null),
        _ => T::write_nullable(value.as_ref(), w, v),
    }
}
