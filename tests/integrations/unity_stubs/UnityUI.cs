// The signatures of uGUI that integrations/unity uses; see UnityEngine.cs.
namespace UnityEngine.Events
{
    public delegate void UnityAction();

    public class UnityEvent
    {
        public void AddListener(UnityAction call) => throw null;
    }
}

namespace UnityEngine.EventSystems
{
    public abstract class UIBehaviour : MonoBehaviour { }
    public class EventSystem : UIBehaviour { public static EventSystem current { get; set; } }
    public abstract class BaseInputModule : UIBehaviour { }
    public class StandaloneInputModule : BaseInputModule { }
}

namespace UnityEngine.UI
{
    public abstract class Graphic : EventSystems.UIBehaviour
    {
        public virtual Color color { get; set; }
        public RectTransform rectTransform => throw null;
    }

    public class Image : Graphic { }
    public class RectMask2D : EventSystems.UIBehaviour { }
    public class GraphicRaycaster : EventSystems.UIBehaviour { }

    public class Text : Graphic
    {
        public virtual string text { get; set; }
        public Font font { get; set; }
        public int fontSize { get; set; }
        public TextAnchor alignment { get; set; }
    }

    public class Button : EventSystems.UIBehaviour
    {
        public class ButtonClickedEvent : Events.UnityEvent { }
        public ButtonClickedEvent onClick { get; set; }
    }

    public class CanvasScaler : EventSystems.UIBehaviour
    {
        public enum ScaleMode { ConstantPixelSize, ScaleWithScreenSize, ConstantPhysicalSize }
        public ScaleMode uiScaleMode { get; set; }
        public Vector2 referenceResolution { get; set; }
    }

    public class LayoutElement : EventSystems.UIBehaviour { public virtual float preferredHeight { get; set; } }

    public class VerticalLayoutGroup : EventSystems.UIBehaviour
    {
        public float spacing { get; set; }
        public bool childForceExpandHeight { get; set; }
        public bool childControlHeight { get; set; }
    }

    public class ContentSizeFitter : EventSystems.UIBehaviour
    {
        public enum FitMode { Unconstrained, MinSize, PreferredSize }
        public FitMode verticalFit { get; set; }
    }

    public class ScrollRect : EventSystems.UIBehaviour
    {
        public RectTransform content { get; set; }
        public RectTransform viewport { get; set; }
        public bool horizontal { get; set; }
        public float scrollSensitivity { get; set; }
    }
}
